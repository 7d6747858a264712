import pytest
from skimage import data as photographs

from recolor.cleaning.detect.corrupt import detect_corrupt
from recolor.config.settings import CorruptConfig


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


def half_grey(picture, side):
    broken = picture.copy()
    rows, columns = len(picture) // 3 // 16 * 16, picture.shape[1] // 3 // 16 * 16
    if side == "bottom":
        broken[-rows:] = 128
    else:
        broken[:, :columns] = 128
    return broken


@pytest.mark.parametrize("side", ["bottom", "left"])
def test_a_picture_saved_after_a_broken_decode_is_listed(measured, side):
    bordered = photographs.coffee().copy()
    bordered[-120:] = 0  # black bars are no sign of damage
    pictures = {"broken.jpg": half_grey(photographs.coffee(), side), "whole.jpg": photographs.coffee()}
    rows = detect_corrupt(measured({**pictures, "bars.jpg": bordered}), CorruptConfig()).to_pylist()
    assert [(row["path"], row["decode_reason"]) for row in rows] == [("broken.jpg", "grey_tail")]
    assert rows[0]["grey_tail"] == pytest.approx(1 / 3, abs=0.05)
    assert not len(detect_corrupt(measured(pictures), CorruptConfig(max_grey_tail=0.5)))
