import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.detect import DETECTORS, ISSUES, detect_issue
from recolor.cleaning.detect.duplicate import detect_duplicate
from recolor.cleaning.index import index_images
from recolor.cleaning.measure import measure_part, merge_measurements, plan_measure
from recolor.cli.main import cli
from recolor.config.settings import (
    BlurryConfig,
    Config,
    DuplicateConfig,
    ExposureConfig,
    MonochromeConfig,
    SkewedConfig,
)
from recolor.errors import ConfigError, MissingStageError
from recolor.manifests.io import read_table, write_manifest
from recolor.manifests.pandas import read_manifest
from recolor.manifests.schemas import ISSUE_SCHEMAS, MEASUREMENTS
from recolor.pipeline.cache import Part, run_part
from recolor.pipeline.workspace import open_workspace


@pytest.fixture(scope="module")
def measured_once(tmp_path_factory):
    workspace = open_workspace(tmp_path_factory.mktemp("detect") / "workspace")
    folder = workspace.root.parent / "images"
    folder.mkdir()
    Image.fromarray(photographs.coffee()).save(folder / "a.jpg")
    Image.fromarray(photographs.coffee()).save(folder / "copy.png")
    Image.fromarray(photographs.camera()).save(folder / "grey.jpg")
    Image.fromarray(photographs.chelsea()[:, :100]).save(folder / "narrow.jpg")
    (folder / "bad.jpg").write_bytes(b"<html>")
    index_images(workspace, folder, Config())
    for part in plan_measure(workspace, folder, Config()).missing:
        measure_part(workspace, folder, part, Config())
    merge_measurements(workspace, Config())
    return workspace


@pytest.fixture
def measured_workspace(measured_once, tmp_path):
    """A copy of the workspace in which five images are measured."""
    return open_workspace(shutil.copytree(measured_once.root, tmp_path / "workspace"))


def paths(workspace, issue):
    return read_manifest(workspace.manifest(issue))["path"].tolist()


def test_there_is_a_detector_a_schema_and_a_table_of_settings_for_each_issue():
    assert tuple(ISSUE_SCHEMAS) == ISSUES == tuple(DETECTORS)
    assert [DETECTORS[issue].name for issue in ISSUES] == list(ISSUES)
    assert [DETECTORS[issue].settings(Config()) for issue in ISSUES] == [getattr(Config(), issue) for issue in ISSUES]


def test_each_issue_has_its_manifest_and_undecoded_images_are_only_corrupt(measured_workspace):
    for issue in ISSUES:
        outcome = detect_issue(measured_workspace, issue, Config())
        assert outcome.counts == {"images": 5, "outliers": len(paths(measured_workspace, issue))}
        read_table(ISSUE_SCHEMAS[issue], measured_workspace.manifest(issue))
    assert paths(measured_workspace, "corrupt") == ["bad.jpg"]
    assert paths(measured_workspace, "duplicate") == ["a.jpg"]
    assert paths(measured_workspace, "monochrome") == ["grey.jpg"]
    assert paths(measured_workspace, "low_resolution") == paths(measured_workspace, "extreme_aspect") == ["narrow.jpg"]


@pytest.mark.parametrize("issue", ISSUES)
def test_a_detector_reads_all_the_columns_it_looks_at(measured_workspace, issue):
    whole = read_table(MEASUREMENTS, measured_workspace.manifest("measurements"))
    settings = getattr(Config(), issue)
    few = DETECTORS[issue].detect(whole.select(DETECTORS[issue].columns(settings)), settings)
    assert few.equals(DETECTORS[issue].detect(whole, settings))


def test_windows_are_not_read_where_no_crops_are_looked_for(measured_workspace):
    settings = DuplicateConfig(crops=False)
    few, whole = (DETECTORS["duplicate"].columns(each) for each in (settings, DuplicateConfig()))
    assert set(whole) - set(few) == {"phash_64_windows"}
    whole = read_table(MEASUREMENTS, measured_workspace.manifest("measurements"))
    assert detect_duplicate(whole.select(few), settings).equals(detect_duplicate(whole, settings))


def test_another_threshold_redoes_its_own_detector_alone(measured_workspace):
    for issue in ISSUES:
        detect_issue(measured_workspace, issue, Config())
    other = replace(Config(), monochrome=MonochromeConfig(threshold=1.0))
    rebuilt = [issue for issue in ISSUES if detect_issue(measured_workspace, issue, other).built]
    assert rebuilt == ["monochrome"]
    assert len(paths(measured_workspace, "monochrome")) > 1


def test_a_detector_that_is_switched_off_lists_nothing(measured_workspace):
    off = replace(Config(), monochrome=MonochromeConfig(enabled=False))
    assert detect_issue(measured_workspace, "monochrome", off).counts["outliers"] == 0


def test_scores_are_between_0_and_1_and_under_their_threshold(measured_workspace):
    for issue in ISSUES:
        detect_issue(measured_workspace, issue, Config())
        rows = read_manifest(measured_workspace.manifest(issue))
        assert rows["score"].between(0, 1).all()
        assert (rows["score"] < rows["threshold"]).all()
        assert (rows["reason"].str.len() > 10).all()


def test_unknown_issues_and_missing_measurements_are_refused(workspace):
    with pytest.raises(ConfigError, match="Allowed: corrupt, too_large, duplicate"):
        detect_issue(workspace, "blury", Config())
    with pytest.raises(MissingStageError, match="recolor measure"):
        detect_issue(workspace, "blurry", Config())


def test_one_issue_is_judged_again_from_the_command_line(measured_workspace):
    def detect(*arguments):
        words = ["detect", *arguments, "--workspace", str(measured_workspace.root)]
        return CliRunner().invoke(cli, words)

    for issue in ISSUES:
        detect_issue(measured_workspace, issue, Config())
    measured_workspace.manifest("scores").touch()
    done = detect("skewed", "blurry", "--set", "blurry.threshold=0.9")
    assert "`recolor select` writes it anew" in done.output
    assert done.output.startswith("detect ")
    assert "skewed" in done.output
    assert "duplicate" not in done.output
    assert "1 part built, 1 reused" in done.output
    wrong = detect("blury")
    assert isinstance(wrong.exception, ConfigError)
    assert "Did you mean 'blurry'?" in str(wrong.exception)


def test_manifests_are_the_same_bytes_each_time(measured_workspace):
    written = []
    for _ in range(2):
        detect_issue(measured_workspace, "duplicate", Config())
        written.append(measured_workspace.manifest("duplicate").read_bytes())
        measured_workspace.manifest("duplicate").unlink()
    assert written[0] == written[1]
    assert np.all([len(data) for data in written])


@pytest.fixture(scope="module")
def many_measured(measured_once):
    """Measurements of 600 images, as if the few had been photographed over and over, each time a little otherwise."""
    few = read_table(MEASUREMENTS, measured_once.manifest("measurements"))
    rng = np.random.default_rng(5)
    rows = pa.array(np.sort(rng.integers(0, len(few), 600)))
    table = few.take(rows)
    for at, field in enumerate(MEASUREMENTS.arrow):
        if pa.types.is_floating(field.type):
            noise = pa.array(rng.lognormal(0, 0.3, len(table)))
            table = table.set_column(at, field, pc.multiply(table[field.name], noise))
    reasons = [None if number % 50 else "too_slow" for number in range(len(table))]
    reasons = pa.array([some or reason for some, reason in zip(reasons, table["reason"].to_pylist(), strict=True)])
    table = table.set_column(table.schema.get_field_index("reason"), "reason", reasons)
    return table.set_column(0, "path", pa.array([f"{number:04}.jpg" for number in range(len(table))])).combine_chunks()


@pytest.mark.slow  # every detector, several times
@pytest.mark.parametrize("issue", ISSUES)
@pytest.mark.parametrize("symmetries_and_crops", [True, False])
def test_judged_a_row_group_at_a_time_the_outliers_are_the_same(
    measured_workspace, many_measured, issue, symmetries_and_crops, monkeypatch
):
    duplicates = DuplicateConfig(symmetries=symmetries_and_crops, crops=symmetries_and_crops)
    scored = {"blurry": BlurryConfig(threshold=0.9), "skewed": SkewedConfig(threshold=0.99)}
    config = Config(duplicate=duplicates, exposure=ExposureConfig(threshold=0.999), **scored)
    workspace, target = measured_workspace, measured_workspace.manifest("measurements")
    found = []
    for rows in (7, 128, 1 << 17):
        monkeypatch.setattr("recolor.manifests.io.ROW_GROUP_ROWS", rows)
        part = Part(workspace, "measure", 0, Config().measure, {"row group": f"{rows}"}, (target,))
        run_part(part, lambda staging: write_manifest(MEASUREMENTS, many_measured, staging / target.name) or {})
        monkeypatch.setattr("recolor.manifests.io.ROW_GROUP_ROWS", 1 << 17)
        outcome = detect_issue(workspace, issue, config)
        assert outcome.counts["images"] == len(many_measured)
        table = read_table(ISSUE_SCHEMAS[issue], workspace.manifest(issue))
        assert len(table) == outcome.counts["outliers"] > 0
        found.append(table)
    score = [table["score"].to_numpy() for table in found]
    assert np.allclose(score[0], score[2], rtol=1e-12)  # sums of products are not always done in the same order
    assert np.allclose(score[1], score[2], rtol=1e-12)
    assert found[0]["path"] == found[1]["path"] == found[2]["path"]
