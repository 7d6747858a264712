"""What is left of damaged files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images.encoding import encoded
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import DAMAGE, DECODE_REASONS, ImageError
from recolor.images import decode

LIMITS = MeasureConfig()
RGB = photographs.chelsea()


FILES = {
    "JPEG": encoded(RGB, "JPEG", quality=95, subsampling=0),
    "grey JPEG": encoded(RGB[..., 1].copy(), "JPEG", quality=95),
    "PNG": encoded(RGB, "PNG"),
    "16-bit PNG": encoded(RGB[..., 1].astype(np.uint16) * 257, "PNG"),
    "BMP": encoded(RGB, "BMP"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_rows_that_are_there_are_shown(kind):
    whole = FILES[kind]
    cut = whole[: len(whole) * 6 // 10]
    with pytest.raises(ImageError) as refused:
        decode(cut, LIMITS)
    left = decode(cut, LIMITS, lenient=True)
    assert left.notes == (f"damaged: {refused.value}",)
    expected = decode(whole, LIMITS)
    assert (left.rgb.shape, left.format, left.mode) == (expected.rgb.shape, expected.format, expected.mode)
    rows = slice(200, None) if kind == "BMP" else slice(0, 100)  # a BMP is stored from below
    assert np.array_equal(left.pixels[rows], expected.pixels[rows])
    assert not np.array_equal(left.pixels, expected.pixels)


def test_a_png_with_a_damaged_byte_is_shown_up_to_there():
    whole = bytearray(FILES["PNG"])
    whole[len(whole) // 2] ^= 0xFF
    left = decode(bytes(whole), LIMITS, lenient=True)
    assert np.array_equal(left.pixels[:80], RGB[:80])


@pytest.mark.parametrize(
    "data", [b"", b"<html>", encoded(RGB, "WEBP")[:5000], encoded(RGB, "TIFF")[:5000], FILES["PNG"][:20]]
)
def test_where_nothing_is_left_the_reason_stays(data):
    with pytest.raises(ImageError) as strict:
        decode(data, LIMITS)
    with pytest.raises(ImageError) as lenient:
        decode(data, LIMITS, lenient=True)
    assert lenient.value.reason == strict.value.reason


def test_a_whole_file_is_decoded_as_ever():
    assert np.array_equal(decode(FILES["PNG"], LIMITS, lenient=True).pixels, RGB)
    assert decode(FILES["PNG"], LIMITS, lenient=True).notes == ()


@pytest.mark.parametrize("kind", FILES)
def test_limits_hold_for_damaged_files_too(kind):
    with pytest.raises(ImageError):
        decode(FILES[kind][: len(FILES[kind]) // 2], MeasureConfig(max_pixels=1000), lenient=True)


@settings(max_examples=100)
@given(st.sampled_from(sorted(FILES)), st.randoms(use_true_random=False))
def test_hostile_bytes_give_pixels_or_a_reason(kind, random):
    data = bytearray(FILES[kind])
    for _ in range(random.randint(1, 12)):
        data[random.randrange(min(len(data), 400))] = random.randrange(256)
    try:
        decoded = decode(bytes(data[: random.randint(0, len(data))]), MeasureConfig(max_pixels=1_000_000), lenient=True)
    except ImageError as error:
        assert error.reason in DECODE_REASONS  # noqa: PT017 - either outcome is right
    else:
        assert decoded.rgb.ndim == 3
    assert set(DAMAGE) < set(DECODE_REASONS)
