import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.detect import ISSUES, detect_issue
from recolor.cleaning.index import index_images
from recolor.cleaning.measure import measure_part, merge_measurements, plan_measure
from recolor.cleaning.select import select
from recolor.config.settings import BlurryConfig, Config, LowResolutionConfig, MonochromeConfig
from recolor.errors import MissingStageError
from recolor.manifests.io import read_table
from recolor.manifests.pandas import read_manifest
from recolor.manifests.schemas import SCORES
from recolor.pipeline.cache import read_record, record_path
from recolor.pipeline.workspace import open_workspace
from recolor.status import workspace_status

SMALL = replace(Config(), low_resolution=LowResolutionConfig(min_side_px=64))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores") / "images"
    folder.mkdir()
    Image.fromarray(photographs.coffee()).save(folder / "best.png")
    Image.fromarray(photographs.coffee()).save(folder / "copy.jpg", quality=80)
    Image.fromarray(photographs.camera()[::4, ::4]).save(folder / "grey.png")
    Image.fromarray(photographs.chelsea()).save(folder / "cat.png")
    whole = (folder / "copy.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "bad.jpg").write_bytes(b"<html>")
    return folder


@pytest.fixture(scope="module")
def cleaned_once(images):
    workspace = open_workspace(images.parent / "workspace")
    index_images(workspace, images, SMALL)
    for part in plan_measure(workspace, images, SMALL).missing:
        measure_part(workspace, images, part, SMALL)
    merge_measurements(workspace, SMALL)
    clean(workspace, SMALL)
    return workspace


@pytest.fixture
def cleaned(cleaned_once, tmp_path):
    """A copy of the cleaned workspace, which the test may change."""
    return open_workspace(shutil.copytree(cleaned_once.root, tmp_path / "workspace"))


def clean(workspace, config):
    for issue in ISSUES:
        detect_issue(workspace, issue, config)
    return select(workspace, config)


def scores_of(workspace):
    return read_manifest(workspace.manifest("scores")).set_index("path")


def check_agreement(workspace):
    """The scores are those of the manifests, and an image is below a threshold if and only if its issue lists it."""
    scores = scores_of(workspace)
    assert set(scores.index) == set(read_manifest(workspace.manifest("measurements"))["path"])
    assert set(scores.index[scores["verdict"] == "keep"]) == set(read_manifest(workspace.manifest("clean"))["path"])
    rejected = set(read_manifest(workspace.manifest("outliers"))["path"])
    assert set(scores.index[scores["verdict"] == "reject"]) == rejected
    for issue in ISSUES:
        listed = read_manifest(workspace.manifest(issue)).set_index("path")
        assert (scores.loc[listed.index, issue] == listed["score"]).all()
        assert (scores.loc[listed.index, f"{issue}_threshold"] == listed["threshold"]).all()
        assert set(scores.index[scores[issue] < scores[f"{issue}_threshold"]]) == set(listed.index)
    return scores


def test_the_table_has_a_score_for_each_image_and_issue_and_agrees_with_all_manifests(cleaned):
    read_table(SCORES, cleaned.manifest("scores"))
    scores = check_agreement(cleaned)
    assert scores.loc["copy.jpg", "duplicate"] < 0.5 < scores.loc["best.png", "duplicate"] == 1.0
    assert scores.loc["grey.png", "monochrome"] < 0.1
    assert 0.5 < scores.loc["cat.png", "blurry"] <= 1
    assert sum(np.histogram(scores["blurry"].dropna())[0]) == 4  # as `scores["blurry"].hist()` counts


def test_an_image_that_was_not_judged_has_no_score(cleaned):
    scores = scores_of(cleaned)
    assert scores.loc["bad.jpg", "corrupt"] == 0
    assert scores.loc[["bad.jpg", "cut.jpg"], ["blurry", "monochrome", "skewed", "exposure"]].isna().all(axis=None)
    assert scores.loc["bad.jpg", "blurry_threshold"] == Config().blurry.threshold


def test_a_detector_that_is_off_has_neither_scores_nor_a_threshold(cleaned):
    clean(cleaned, replace(SMALL, monochrome=MonochromeConfig(enabled=False)))
    scores = scores_of(cleaned)
    assert scores[["monochrome", "monochrome_threshold"]].isna().all(axis=None)
    assert scores.loc["grey.png", "verdict"] == "keep"


def test_the_thresholds_are_those_that_the_detectors_used_not_those_of_select(cleaned):
    detect_issue(cleaned, "blurry", replace(SMALL, blurry=BlurryConfig(threshold=0.99)))
    select(cleaned, SMALL)
    scores = check_agreement(cleaned)
    assert (scores["blurry_threshold"] == 0.99).all()


def test_a_decision_changes_the_verdict_and_no_score(cleaned):
    before = scores_of(cleaned)
    (cleaned.manifests / "decisions.csv").write_text("grey.png,keep\n")
    select(cleaned, SMALL)
    after = scores_of(cleaned)
    assert after.loc["grey.png", "verdict"] == "keep"
    pd.testing.assert_frame_equal(before.drop(columns="verdict"), after.drop(columns="verdict"))


def test_the_table_is_gone_while_it_would_contradict_a_detector_that_ran_again(cleaned):
    detect_issue(cleaned, "blurry", SMALL)  # nothing new
    assert cleaned.manifest("scores").is_file()
    detect_issue(cleaned, "blurry", replace(SMALL, blurry=BlurryConfig(threshold=0.99)))
    with pytest.raises(MissingStageError, match="Create it with `recolor select`"):
        scores_of(cleaned)
    detect_issue(cleaned, "blurry", SMALL)
    assert select(cleaned, SMALL).built == 1
    check_agreement(cleaned)


def test_a_run_that_is_killed_between_the_manifests_and_the_table_leaves_none(cleaned, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    (cleaned.manifests / "decisions.csv").write_text("cat.png,reject\n")
    with monkeypatch.context() as patched:
        patched.setattr("recolor.cleaning.select.join_scores", killed)
        with pytest.raises(KeyboardInterrupt):
            select(cleaned, SMALL)
    assert not cleaned.manifest("scores").exists()
    (status,) = workspace_status(cleaned, None, SMALL, ["select"])
    assert (status.state, status.reasons) == ("stale", ("missing: scores.parquet",))
    assert select(cleaned, SMALL).built == 1
    assert check_agreement(cleaned).loc["cat.png", "verdict"] == "reject"
    assert select(cleaned, SMALL).current


def test_a_workspace_of_a_version_without_scores_keeps_its_manifests_and_gets_them(cleaned):
    kept = [read_record(record_path(cleaned.manifest(name))) for name in ("blurry", "clean")]
    for issue in ISSUES:  # as the earlier version left it
        file = record_path(cleaned.manifest(issue))
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, "outputs": record["outputs"][:1]}))
        cleaned.issue_scores(issue).unlink()
    cleaned.manifest("scores").unlink()
    clean(cleaned, SMALL)
    assert [read_record(record_path(cleaned.manifest("blurry"))).key] == [kept[0].key]
    assert read_record(record_path(cleaned.manifest("clean"))).content == kept[1].content
    check_agreement(cleaned)
