from skimage import data as photographs

from recolor.config import CorruptConfig
from recolor.detect.corrupt import detect_corrupt


def test_every_image_with_a_decode_reason_is_listed_with_it(measured, jpeg):
    whole = jpeg(photographs.coffee())
    table = measured(
        {"cut.jpg": whole[:9000], "empty.jpg": b"", "good.jpg": whole, "page.jpg": b"<html>", "tail.jpg": whole[:-2]}
    )
    rows = detect_corrupt(table, CorruptConfig()).to_pylist()
    assert {row["path"]: row["decode_reason"] for row in rows} == {
        "cut.jpg": "truncated",
        "empty.jpg": "empty",
        "page.jpg": "not_an_image",
        "tail.jpg": "no_end_marker",
    }
    assert all(row["score"] == 0 and row["reason"].startswith(row["decode_reason"]) for row in rows)
