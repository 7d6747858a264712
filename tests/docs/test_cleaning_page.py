"""The queries of docs/cleaning.md, run as they are printed there; what was planted in the workspace is found."""

import pyarrow.parquet as pq
import pytest


def rows_of(workspace, name):
    return pq.read_table(workspace / f"manifests/{name}.parquet").to_pylist()


@pytest.fixture(scope="module")
def found(run_page, cleaned):
    return run_page("docs/cleaning.md", cleaned[1])


def test_the_worst_20_blurry_images_come_worst_first(found, cleaned):
    rows = sorted(rows_of(cleaned[1], "blurry"), key=lambda row: row["score"])
    assert len(rows) > 20, "the blurred pictures must be found, or the 20 are not the worst of more"
    assert found["worst"].to_dict("records") == [
        {name: row[name] for name in ("path", "score", "threshold", "reason")} for row in rows[:20]
    ]


def test_duplicates_come_with_their_copies_and_bytes_most_first(found, cleaned):
    size = {name: (cleaned[0] / name).stat().st_size for name in ("lake/same.jpg", "copies/60.jpg", "copies/50.jpg")}
    saved = found["saved"]
    assert saved.index.tolist() == ["lake/03.jpg", "lake/04.jpg"]
    assert saved["copies"].tolist() == [2, 1]
    assert saved["bytes_saved"].tolist() == [size["lake/same.jpg"] + size["copies/60.jpg"], size["copies/50.jpg"]]


def test_outliers_are_counted_by_folder_and_issue(found, cleaned):
    counts = {key: count for key, count in found["by_folder"].stack().items() if count}
    blurry = sum(row["path"].startswith("sea/long way/") for row in rows_of(cleaned[1], "blurry"))
    assert counts == {
        ("", "corrupt"): 1,
        ("copies", "duplicate"): 2,
        ("lake", "duplicate"): 1,
        ("old", "blurry"): 1,
        ("old", "low_resolution"): 1,
        ("sea/long way", "blurry"): blurry,
    }


def test_what_is_rejected_for_two_reasons_has_both(found):
    twice = found["twice"]
    assert twice["path"].tolist() == ["old/tiny.jpg"]
    assert set(twice["issues"].item()) == {"blurry", "low_resolution"}
    assert len(twice["reasons"].item()) == 2


def test_columns_and_rows_of_a_large_manifest_are_chosen(found, cleaned):
    rows = [row for row in rows_of(cleaned[1], "measurements") if row["L_mean"] is not None and row["L_mean"] < 12]
    assert found["dark"].to_dict("records") == [{"path": row["path"], "L_mean": row["L_mean"]} for row in rows]
    assert found["dark"].columns.tolist() == ["path", "L_mean"]
