"""Strips and tiles of TIFFs: what is whole is read, and what is damaged is refused though libtiff would pass it."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from images.encoding import tiff
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode

ASTRONAUT = photographs.astronaut()[:256, :256]
LAYOUTS = {"strips": {"rowsperstrip": 32}, "tiles": {"tile": (64, 64)}}
DEFLATED = tiff(ASTRONAUT, photometric="rgb", compression="zlib", rowsperstrip=64)


def read(data):
    return decode(data, MeasureConfig(), None)


def segments(data):
    """First byte and size of each strip or tile."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        return list(zip(page.dataoffsets, page.databytecounts, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("filling", ["zeros", "noise"])
@pytest.mark.parametrize("compression", ["jpeg", "zlib"])
def test_a_strip_or_tile_that_is_overwritten_is_refused_and_named(compression, filling, layout):
    whole = tiff(ASTRONAUT, photometric="rgb", compression=compression, **layout)
    read(whole)
    start, size = segments(whole)[3]
    rng = np.random.default_rng(0)
    middle = bytes(size // 2) if filling == "zeros" else rng.integers(0, 255, size // 2, np.uint8).tobytes()
    damaged = bytearray(whole)
    damaged[start + size // 4 : start + size // 4 + len(middle)] = middle
    with pytest.raises(ImageError, match=r"strip or tile 3 of \d+: ") as refused:
        read(bytes(damaged))
    assert refused.value.reason in ("bad_entropy_data", "truncated")


@given(st.data())
def test_any_flipped_bit_of_a_deflated_strip_is_refused(draw):
    start, size = draw.draw(st.sampled_from(segments(DEFLATED)))
    position, bit = draw.draw(st.integers(start, start + size - 1)), draw.draw(st.integers(0, 7))
    damaged = bytearray(DEFLATED)
    damaged[position] ^= 1 << bit
    with pytest.raises(ImageError, match=r"bad_entropy_data|truncated"):
        read(bytes(damaged))


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 1)])
def test_jpeg_strips_of_any_sampling_are_read(subsampling):
    whole = tiff(ASTRONAUT, photometric="rgb", compression="jpeg", subsampling=subsampling, rowsperstrip=32)
    difference = read(whole).rgb.astype(int) - ASTRONAUT
    assert np.abs(difference).mean() < 8


@pytest.mark.parametrize("compression", ["webp", "png", "jpeg2000", "jpegxl"])
def test_compressions_that_libtiff_does_not_have_are_read(compression):
    options = {"compressionargs": {"lossless": True}} if compression in ("webp", "jpegxl") else {}
    whole = tiff(ASTRONAUT, photometric="rgb", compression=compression, rowsperstrip=64, **options)
    np.testing.assert_array_equal(read(whole).rgb, ASTRONAUT)
