import pandas as pd
import pytest

from recolor.cleaning.detect import ISSUES
from recolor.demo.summary import count_found, demo_summary
from recolor.demo.truth import Truth, format_truth
from recolor.errors import InputError, MissingStageError
from recolor.pipeline.workspace import Workspace

ROWS = (
    Truth("a.jpg", "clean", "landscape"),
    Truth("b.jpg", "clean", "landscape"),
    Truth("c.jpg", "clean", "landscape"),
    Truth("copy a.jpg", "duplicate", "mirrored", "a.jpg"),
    Truth("copy b.jpg", "duplicate", "cropped", "b.jpg"),
    Truth("grey.png", "monochrome", "photograph"),
    Truth("grey.png", "blurry", "photograph"),
    Truth("soft.jpg", "blurry", "gaussian_2"),
)


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    workspace.manifests.mkdir(parents=True)
    workspace.evaluation.mkdir(parents=True)
    flagged = {"duplicate": ["a.jpg"], "monochrome": ["grey.png"], "blurry": ["c.jpg", "grey.png"]}
    for issue in ISSUES:
        _write_paths(workspace, issue, flagged.get(issue, []))
    _write_paths(workspace, "outliers", ["a.jpg", "grey.png", "c.jpg"])
    metrics = pd.DataFrame({"name": ["refined", "grey"], "psnr_db": [24.256, 21.0], "colourfulness": [31.5, 0.0]})
    metrics.to_parquet(workspace.evaluation / "metrics.parquet")
    (tmp_path / "truth.csv").write_text(format_truth(ROWS), encoding="utf-8")
    return workspace


def _write_paths(workspace, name, paths):
    pd.DataFrame({"path": pd.Series(paths, dtype="str")}).to_parquet(workspace.manifest(name))


def _row(text, name):
    return next(line.split() for line in text.splitlines() if line.startswith(name))


def test_each_issue_has_its_counts(workspace, tmp_path):
    text = demo_summary(workspace, tmp_path / "truth.csv")
    assert _row(text, "duplicate") == ["duplicate", "2", "1", "1", "0"]
    assert _row(text, "monochrome") == ["monochrome", "1", "1", "0", "0"]
    assert _row(text, "blurry") == ["blurry", "2", "1", "1", "1"]
    assert _row(text, "corrupt") == ["corrupt", "0", "0", "0", "0"]


def test_what_was_missed_is_named_by_kind(workspace, tmp_path):
    text = demo_summary(workspace, tmp_path / "truth.csv")
    assert "Missed: duplicate: cropped (1), blurry: gaussian_2 (1)." in text


def test_clean_images_left_out_are_counted_without_the_originals_of_duplicates(workspace, tmp_path):
    text = demo_summary(workspace, tmp_path / "truth.csv")
    assert "3 of 7 images were rejected, including 1 of the 3 clean images." in text


def test_the_metrics_that_are_there_are_printed(workspace, tmp_path):
    text = demo_summary(workspace, tmp_path / "truth.csv")
    assert _row(text, "name") == ["name", "psnr_db", "colourfulness"]
    assert _row(text, "refined") == ["refined", "24.3", "31.5"]


def test_the_places_to_look_at_are_named(workspace, tmp_path):
    text = demo_summary(workspace, tmp_path / "truth.csv")
    for path in ("report.html", "pictures.png", "manifests"):
        assert path in text


def test_a_copy_or_its_original_is_enough():
    for flagged in ({"copy a.jpg"}, {"a.jpg"}, {"a.jpg", "copy a.jpg"}):
        found = count_found(ROWS, "duplicate", frozenset(flagged))
        assert [row.path for row in found.missed] == ["copy b.jpg"]
        assert found.false_alarms == ()


def test_a_clean_image_that_is_no_original_is_a_false_alarm():
    assert count_found(ROWS, "duplicate", frozenset({"c.jpg"})).false_alarms == ("c.jpg",)


def test_a_stage_that_has_not_run_is_named(workspace, tmp_path):
    workspace.manifest("blurry").unlink()
    with pytest.raises(MissingStageError, match="blurry"):
        demo_summary(workspace, tmp_path / "truth.csv")


def test_a_missing_truth_table_is_named(workspace, tmp_path):
    with pytest.raises(InputError, match=r"other\.csv"):
        demo_summary(workspace, tmp_path / "other.csv")
