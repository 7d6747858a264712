from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from skimage.data import astronaut

import recolor.cleaning.thresholds.survey
from recolor.cleaning.thresholds import suggest, suggest_threshold, suggestion_text
from recolor.cleaning.thresholds.survey import COLUMNS
from recolor.cleaning.thresholds.text import NO_SUGGESTION
from recolor.cli.main import cli
from recolor.config.settings import BlurryConfig, Config, ExtremeAspectConfig, LowResolutionConfig, MonochromeConfig
from recolor.errors import MissingStageError
from recolor.manifests.schemas import MEASUREMENTS


def scores_of(rng, images, share, bulk=(8.0, 3.0), outliers=(-3.0, 1.5)):
    """Scores of a set with a share of outliers, and which they are: normal in log-odds."""
    planted = int(images * share)
    x = np.concatenate([rng.normal(*outliers, planted), rng.normal(*bulk, images - planted)])
    return 1 / (1 + np.exp(-x)), np.arange(images) < planted


def f1(flagged, is_outlier):
    return 2 * (flagged & is_outlier).sum() / (flagged.sum() + is_outlier.sum())


def best_f1(scores, is_outlier):
    hits = np.cumsum(is_outlier[np.argsort(scores)])
    return (2 * hits / (np.arange(1, len(scores) + 1) + is_outlier.sum())).max()


@pytest.mark.parametrize(("share", "lost"), [(0.01, 0.1), (0.05, 0.05), (0.2, 0.02), (0.4, 0.02)])
@pytest.mark.parametrize("seed", range(3))
def test_of_two_separate_groups_the_threshold_is_as_good_as_with_labels(share, lost, seed):
    scores, is_outlier = scores_of(np.random.default_rng(seed), 4000, share, (8.0, 2.0), (-3.0, 1.5))
    threshold = suggest_threshold(scores)
    threshold = 0.5 if threshold is None else threshold
    assert f1(scores < threshold, is_outlier) > best_f1(scores, is_outlier) - lost


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_where_the_current_threshold_lies_in_the_gap_nothing_is_suggested(share):
    scores, _ = scores_of(np.random.default_rng(1), 4000, share, (8.0, 2.0), (-3.0, 1.0))
    assert suggest_threshold(scores, 0.5) is None
    assert suggest_threshold(scores, 0.02) is not None


@pytest.mark.parametrize("shift", [-2.5, 2.5])
def test_where_all_scores_are_shifted_the_suggestion_follows(shift):
    rng = np.random.default_rng(3)
    scores, is_outlier = scores_of(rng, 4000, 0.1, (6 + shift, 1.2), (-2.7 + shift, 0.8))
    current = 0.5 if shift > 0 else 0.01
    threshold = suggest_threshold(scores, current)
    fixed, suggested = f1(scores < current, is_outlier), f1(scores < threshold, is_outlier)
    assert suggested > best_f1(scores, is_outlier) - 0.05
    assert suggested > fixed


@pytest.mark.parametrize("shift", [-4.0, 0.0, 4.0])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.25])
@pytest.mark.parametrize("seed", range(3))
def test_of_one_group_with_a_tail_nothing_is_suggested(seed, share, shift):
    rng = np.random.default_rng(seed)
    scores, _ = scores_of(rng, 2000, share, (5.0 + shift, 2.0), (2.0 + shift, 2.0))
    assert suggest_threshold(scores) is None


def test_two_groups_that_the_detector_both_takes_for_good_are_not_split():
    scores, _ = scores_of(np.random.default_rng(4), 4000, 0.3, (8.0, 0.7), (2.0, 0.7))
    assert suggest_threshold(scores) is None


def test_a_handful_of_images_is_no_group():
    scores, _ = scores_of(np.random.default_rng(4), 2000, 0.003, (8.0, 0.7), (-3.0, 0.7))
    assert suggest_threshold(scores, 0.9) is None


def test_the_order_of_the_images_does_not_matter():
    rng = np.random.default_rng(5)
    scores, _ = scores_of(rng, 1000, 0.05)
    assert suggest_threshold(rng.permutation(scores)) == suggest_threshold(scores)


@pytest.mark.parametrize("scores", [np.ones(1000), np.full(1000, 0.9), np.random.default_rng(0).random(49)])
def test_of_equal_scores_or_of_few_images_nothing_is_suggested(scores):
    assert suggest_threshold(scores) is None


@given(arrays(np.float64, st.integers(0, 300), elements=st.floats(0, 1)))
def test_of_any_scores_a_suggestion_is_none_or_a_threshold(scores):
    threshold = suggest_threshold(scores)
    assert threshold is None or (0 <= threshold <= 1 and type(threshold) is float)


@pytest.mark.parametrize(("bulk", "outliers", "above"), [(1.0, -5.5, 0.0), (8.5, -0.5, 0.9)])
def test_a_threshold_near_an_end_keeps_its_digits(bulk, outliers, above):
    rng = np.random.default_rng(7)
    scores, is_outlier = scores_of(rng, 2000, 0.3, (bulk, 0.5), (outliers, 0.5))
    threshold = suggest_threshold(scores)
    assert above < threshold < 1
    assert f1(scores < threshold, is_outlier) > 0.95


@pytest.fixture
def table():
    rng = np.random.default_rng(11)
    rows = [
        {"path": f"{number:04}.jpg", "size_bytes": 1, "mtime_ns": 0, "width_px": int(width), "height_px": int(height)}
        for number, (width, height) in enumerate(rng.integers(60, 2000, (400, 2)))
    ]
    rows += [{"path": f"bad {number}.jpg", "size_bytes": 1, "mtime_ns": 0, "reason": "empty"} for number in range(7)]
    return pa.Table.from_pylist(rows, schema=MEASUREMENTS.arrow)


@pytest.fixture
def scored(table, monkeypatch):
    """Scores of the decodable images, an issue each, put in the place of the detectors' own."""
    rng = np.random.default_rng(12)
    scores = {
        "monochrome": scores_of(rng, 400, 0.05, (4.0, 3.0), (0.0, 3.0))[0],
        "blurry": scores_of(rng, 400, 0.2, (8.0, 1.0), (-0.5, 1.0))[0],
    }
    monkeypatch.setattr(
        recolor.cleaning.thresholds.survey,
        "SCORERS",
        {name: (lambda judged, name=name: scores[name][: len(judged)]) for name in scores},
    )
    monkeypatch.setattr(recolor.cleaning.thresholds.survey, "require_record", lambda *_: None)
    monkeypatch.setattr(recolor.cleaning.thresholds.survey, "read_table", lambda *_: table)
    return scores


def of(suggestions, setting):
    return next(one for one in suggestions if one.setting == setting)


def test_counts_are_those_of_the_detector_and_the_undecoded_are_not_judged(workspace, scored):
    config = replace(Config(), blurry=BlurryConfig(threshold=0.37))
    one = of(suggest(workspace, config), "blurry.threshold")
    assert (one.judged, one.present) == (400, 0.37)
    limits = [step.limit for step in one.steps]
    assert limits == sorted(set(limits))
    assert {one.present, one.suggested} <= set(limits)
    assert one.suggested == suggest_threshold(scored["blurry"], 0.37)
    for step in one.steps:
        assert step.images == sum(score < step.limit for score in scored["blurry"].tolist())
    assert sum(one.histogram.counts) == 400


def test_sizes_and_shapes_get_counts_and_no_suggestion(workspace, scored, table):
    suggestions = suggest(workspace, replace(Config(), extreme_aspect=ExtremeAspectConfig(min_aspect=0.6)))
    sides = [(row["width_px"], row["height_px"]) for row in table.to_pylist() if row["reason"] is None]
    small = of(suggestions, "low_resolution.min_side_px")
    narrow, wide = of(suggestions, "extreme_aspect.min_aspect"), of(suggestions, "extreme_aspect.max_aspect")
    assert {small.suggested, narrow.suggested, wide.suggested} == {None}
    assert {step.limit: step.images for step in small.steps}[256] == sum(min(side) < 256 for side in sides)
    assert {step.limit: step.images for step in narrow.steps}[0.6] == sum(w / h < 0.6 for w, h in sides)
    assert {step.limit: step.images for step in wide.steps}[2.0] == sum(w / h > 2.0 for w, h in sides)
    assert [sum(one.histogram.counts) for one in (small, narrow, wide)] == [400] * 3
    assert all(0 < step.limit <= 1 for step in narrow.steps)
    assert all(step.limit >= 1 for step in wide.steps)


def test_a_detector_that_is_switched_off_is_left_out(workspace, scored):
    config = replace(
        Config(), monochrome=MonochromeConfig(enabled=False), low_resolution=LowResolutionConfig(enabled=False)
    )
    settings = [one.setting for one in suggest(workspace, config)]
    assert settings == ["blurry.threshold", "extreme_aspect.min_aspect", "extreme_aspect.max_aspect"]


def test_without_any_image_nothing_is_said(workspace, scored, table, monkeypatch):
    monkeypatch.setattr(recolor.cleaning.thresholds.survey, "read_table", lambda *_: table.slice(400))
    assert suggest(workspace, Config()) == ()
    assert suggestion_text(()) == ""


def test_the_text_shows_histogram_marks_and_the_settings_to_use(workspace, scored):
    suggestions = suggest(workspace, Config())
    text = suggestion_text(suggestions)
    blurry = of(suggestions, "blurry.threshold")
    lines = text.split("\n\n")[1].splitlines()
    assert lines[0] == "blurry.threshold = 0.5, 400 images"
    bars, marks = [f"{line:<{COLUMNS + 2}}"[2:] for line in lines[1:4]], lines[5][2:]
    assert [any(bar[at] != " " for bar in bars) for at in range(COLUMNS)] == [n > 0 for n in blurry.histogram.counts]
    assert marks.index("▲") == blurry.histogram.at(0.5)
    assert marks.index("△") == blurry.histogram.at(blurry.suggested)
    assert any(line.split()[0] == f"{blurry.suggested:g}" and line.endswith("suggested") for line in lines[7:])
    assert f"--set blurry.threshold={blurry.suggested:g}" in text.splitlines()[-1]
    assert max(map(len, text.splitlines()[:-1])) <= 80


def test_where_nothing_is_suggested_a_sentence_says_so(workspace, scored):
    suggestions = suggest(workspace, Config())
    monochrome, blurry, *sizes = suggestion_text(suggestions).split("\n\n")
    assert of(suggestions, "monochrome.threshold").suggested is None
    assert monochrome.splitlines()[-1] == NO_SUGGESTION
    assert NO_SUGGESTION not in blurry + "".join(sizes)


def test_without_measurements_the_stage_to_run_is_named(workspace):
    with pytest.raises(MissingStageError, match="recolor measure"):
        suggest(workspace, Config())


def test_the_command_needs_no_image(tmp_path):
    rng = np.random.default_rng(13)
    images, workspace = tmp_path / "images", tmp_path / "workspace"
    images.mkdir()
    for number, (row, column) in enumerate(rng.integers(0, 200, (4, 2))):
        Image.fromarray(astronaut()[row : row + 300, column : column + 300]).save(images / f"{number}.png")
    target = ["--workspace", str(workspace)]
    cleaned = CliRunner().invoke(cli, ["clean", "--images", str(images), *target, "--suggest"], catch_exceptions=False)
    assert cleaned.exit_code == 0
    assert "blurry.threshold = 0.5, 4 images" in cleaned.output
    for file in images.iterdir():
        file.unlink()
    judged = CliRunner().invoke(cli, ["detect", *target, "--suggest"], catch_exceptions=False)
    suggested = [run.output.split("\n\n", 1)[1].partition("\n\nNext: ")[0] for run in (cleaned, judged)]
    assert suggested[0] == suggested[1]
