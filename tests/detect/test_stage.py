from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.config import Config, MonochromeConfig
from recolor.detect import COLUMNS, DETECTORS, ISSUES, detect_issue
from recolor.errors import ConfigError, MissingStageError
from recolor.frames import read_manifest
from recolor.index import index_images
from recolor.manifest import read_table
from recolor.measure import measure_part, merge_measurements, plan_measure
from recolor.schemas import ISSUES as SCHEMAS
from recolor.schemas import MEASUREMENTS


@pytest.fixture
def measured_workspace(workspace, tmp_path):
    folder = tmp_path / "images"
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


def paths(workspace, issue):
    return read_manifest(workspace.manifest(issue))["path"].tolist()


def test_there_is_a_detector_a_schema_and_a_table_of_settings_for_each_issue():
    assert tuple(SCHEMAS) == ISSUES == tuple(DETECTORS)
    assert all(hasattr(Config(), issue) for issue in ISSUES)


def test_each_issue_has_its_manifest_and_undecoded_images_are_only_corrupt(measured_workspace):
    for issue in ISSUES:
        outcome = detect_issue(measured_workspace, issue, Config())
        assert outcome.counts == {"images": 5, "outliers": len(paths(measured_workspace, issue))}
        read_table(SCHEMAS[issue], measured_workspace.manifest(issue))
    assert paths(measured_workspace, "corrupt") == ["bad.jpg"]
    assert paths(measured_workspace, "duplicate") == ["a.jpg"]
    assert paths(measured_workspace, "monochrome") == ["grey.jpg"]
    assert paths(measured_workspace, "low_resolution") == paths(measured_workspace, "extreme_aspect") == ["narrow.jpg"]


@pytest.mark.parametrize("issue", ISSUES)
def test_a_detector_reads_all_the_columns_it_looks_at(measured_workspace, issue):
    whole = read_table(MEASUREMENTS, measured_workspace.manifest("measurements"))
    settings = getattr(Config(), issue)
    few = DETECTORS[issue](whole.select(COLUMNS[issue]), settings)
    assert few.equals(DETECTORS[issue](whole, settings))


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
    with pytest.raises(ConfigError, match="Allowed: corrupt, duplicate"):
        detect_issue(workspace, "blury", Config())
    with pytest.raises(MissingStageError, match="recolor measure"):
        detect_issue(workspace, "blurry", Config())


def test_manifests_are_the_same_bytes_each_time(measured_workspace):
    written = []
    for _ in range(2):
        detect_issue(measured_workspace, "duplicate", Config())
        written.append(measured_workspace.manifest("duplicate").read_bytes())
        measured_workspace.manifest("duplicate").unlink()
    assert written[0] == written[1]
    assert np.all([len(data) for data in written])
