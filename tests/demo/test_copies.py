from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from recolor.demo.copies import COPIES, ORIGINAL_QUALITY, jpeg
from recolor.demo.landscape import render_landscape


@pytest.fixture(scope="module")
def rgb():
    return render_landscape(21, 240, 180)


def _viewed(data):
    with Image.open(BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image)).astype(int)


def _mean_difference(first, second):
    assert first.shape == second.shape
    return np.abs(first.astype(int) - second.astype(int)).mean()


def test_the_same_bytes_are_those_of_the_original(rgb):
    assert COPIES["same_bytes"](rgb) == jpeg(rgb, ORIGINAL_QUALITY)


@pytest.mark.parametrize(("kind", "undo"), [
    ("reencoded", lambda seen: seen),
    ("mirrored", lambda seen: seen[:, ::-1]),
    ("rotated", lambda seen: np.rot90(seen, -1)),
    ("exif_rotated", lambda seen: seen),
])  # fmt: skip
def test_a_copy_undone_is_the_original(rgb, kind, undo):
    assert _mean_difference(undo(_viewed(COPIES[kind](rgb))), rgb) < 6


def test_the_exif_copy_lies_on_its_side_in_the_file(rgb):
    with Image.open(BytesIO(COPIES["exif_rotated"](rgb))) as image:
        assert image.size == (180, 240)


def test_the_brighter_copy_is_five_percent_brighter(rgb):
    dark = np.minimum(rgb, 200)
    assert _viewed(COPIES["brighter"](dark)).mean() / dark.mean() == pytest.approx(1.05, abs=0.01)


def test_the_cropped_copy_lacks_three_percent(rgb):
    height_px, width_px = _viewed(COPIES["cropped"](rgb)).shape[:2]
    assert height_px / 180 == pytest.approx(0.97, abs=0.01)
    assert width_px / 240 == pytest.approx(0.97, abs=0.01)


def test_the_resized_copy_has_three_quarters_of_the_size(rgb):
    assert _viewed(COPIES["resized"](rgb)).shape == (135, 180, 3)
