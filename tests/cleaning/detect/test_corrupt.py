import pytest
from skimage import data as photographs

from recolor.cleaning.detect import corrupt
from recolor.cleaning.detect.corrupt import detect_corrupt
from recolor.cleaning.detect.too_large import detect_too_large
from recolor.config.settings import CorruptConfig, MeasureConfig, TooLargeConfig
from recolor.errors import DECODE_REASONS


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
    }
    assert all(row["score"] == 0 and f" ({row['decode_reason']}: " in row["reason"] for row in rows)
    assert [row["reason"].partition(" (")[0] for row in rows] == [
        "a part of the file is missing",
        "the file is empty",
        "the file is not an image",
    ]


def test_every_decode_reason_has_a_meaning_in_plain_words():
    assert set(DECODE_REASONS) | {"untidy", "grey_tail"} == set(corrupt._MEANINGS)


def test_a_file_that_is_not_in_order_is_listed_if_that_is_asked_for(measured, jpeg):
    table = measured({"good.jpg": jpeg(photographs.coffee()), "tail.jpg": jpeg(photographs.coffee())[:-2]})
    assert len(detect_corrupt(table, CorruptConfig())) == 0
    (row,) = detect_corrupt(table, CorruptConfig(reject_untidy=True)).to_pylist()
    assert (row["path"], row["decode_reason"], row["reason"]) == (
        "tail.jpg",
        "untidy",
        "no pixel is lost, but the file is not in order (untidy: no end marker)",
    )


def test_an_image_beyond_a_limit_is_too_large_and_not_corrupt(measured, jpeg):
    table = measured({"a.jpg": jpeg(photographs.coffee())}, MeasureConfig(max_pixels=1000))
    assert len(detect_corrupt(table, CorruptConfig())) == 0
    (row,) = detect_too_large(table, TooLargeConfig()).to_pylist()
    assert (row["path"], row["score"], row["limit"]) == ("a.jpg", 0, "measure.max_pixels")
    assert "600x400 pixels" in row["reason"]
    assert "measure.max_pixels" in row["reason"]


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
