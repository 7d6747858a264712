"""What a colorizer takes, and what it gives for each kind; with small untrained models."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from recolor.color.gamut import lightness_of
from recolor.colorize.sources import open_source
from recolor.errors import ImageError, InputError

GREY = data.camera()[100:150, 200:280]
RGB = data.coffee()[100:150, 200:280]


@pytest.fixture
def photograph(tmp_path):
    """A stored portrait on its side, with alpha."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "old.png"
    Image.fromarray(np.dstack((GREY, GREY))).save(path, exif=exif)
    return path


@pytest.mark.parametrize("array", [GREY, GREY[..., None], RGB])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_array_becomes_an_array_of_its_type(colorizer, array, dtype):
    array = array.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    coloured = colorizer(array)
    assert (coloured.dtype, coloured.shape) == (dtype, (50, 80, 3))
    stored = array.reshape(50, 80, -1)
    before = lightness_of(np.repeat(stored, 3, axis=2) if stored.shape[2] == 1 else stored)
    assert np.abs(lightness_of(coloured) - before).max() < (1 if dtype == np.uint8 else 0.01)


def test_grey_arrays_of_every_shape_and_depth_get_the_same_colours(colorizer):
    grey, plane, rgb = (colorizer(array) for array in (GREY, GREY[..., None], np.repeat(GREY[..., None], 3, axis=2)))
    assert np.array_equal(grey, plane)
    assert np.array_equal(grey, rgb)
    deep = colorizer(GREY.astype(np.uint16) * 257)
    assert np.abs(deep / 257 - grey).max() < 2


@pytest.mark.parametrize("kind", [Path, str])
def test_a_file_is_coloured_upright_with_its_alpha(colorizer, photograph, kind):
    coloured = colorizer(kind(photograph))
    assert coloured.size == (50, 80)
    assert coloured.mode == "RGBA"
    with Image.open(photograph) as picture:
        assert np.array_equal(np.asarray(colorizer(picture)), np.asarray(coloured))


def test_a_batch_takes_every_kind_together(colorizer, photograph):
    with Image.open(photograph) as picture:
        batch = colorizer.colorize_batch([photograph, str(photograph), picture, RGB, GREY])
    assert [type(image) for image in batch] == [Image.Image] * 3 + [np.ndarray] * 2
    assert np.array_equal(np.asarray(batch[0]), np.asarray(batch[1]))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (GREY / 255, "uint8 or uint16. If its values are 0 to 1, give np.rint"),
        (GREY.astype(np.int64), "int64 cannot be coloured: its type must be uint8 or uint16"),
        (GREY > 9, "bool cannot be coloured"),
        (np.moveaxis(RGB, -1, 0), r"np.moveaxis\(array, 0, -1\)"),
        (np.dstack((RGB, GREY)), r"For alpha, give Image.fromarray"),
        (GREY[None, None], r"\[1, 1, 50, 80\] of uint8 cannot be coloured: its shape"),
        (GREY[:0], "its shape"),
        (np.uint8(3), "uint8 cannot be coloured"),
        (b"bytes", "a bytes cannot be coloured. Give a Pillow image"),
        ([[1, 2]], "a list cannot be coloured"),
        (None, "a NoneType cannot be coloured"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_give(source, said):
    with pytest.raises(InputError, match=said):
        open_source(source)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"unreadable: .*gone\.jpg: No such file"):
        open_source(tmp_path / "gone.jpg")
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(ImageError, match=r"not_an_image: .*page\.jpg: an HTML page"):
        open_source(str(tmp_path / "page.jpg"))
