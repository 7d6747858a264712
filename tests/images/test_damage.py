"""Files cut short, or of full size with bytes that were never written: refused in every format, with their reason."""

import io

import numpy as np
import pytest
from images.encoding import encoded, tiff
from PIL import Image
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode

LIMITS = MeasureConfig()
RGB = photographs.astronaut()[:384]


ENCODINGS = {
    "png": encoded(RGB, "PNG"),
    "webp": encoded(RGB, "WEBP", quality=80),
    "lossless webp": encoded(RGB, "WEBP", lossless=True, method=0),
    "tiff": encoded(RGB, "TIFF"),
    "lzw tiff": encoded(RGB, "TIFF", compression="tiff_lzw"),
    "16-bit tiff": tiff(RGB.astype(np.uint16) * 257, photometric="rgb", compression="zlib"),
    "tiled tiff": tiff(RGB, photometric="rgb", tile=(64, 64)),
    "gif": encoded(RGB, "GIF"),
    "bmp": encoded(RGB, "BMP"),
    "avif": encoded(RGB, "AVIF", quality=70, speed=10),
}
CUTS = (5, 20, 35, 50, 65, 80, 95, 98)


def reason_of(data):
    try:
        decoded = decode(data, LIMITS, 256)
    except ImageError as error:
        return error.reason
    return f"decoded {decoded.notes}"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_cut_short_is_truncated(encoding):
    whole = ENCODINGS[encoding]
    assert reason_of(whole) == "decoded ()"
    assert {percent: reason_of(whole[: len(whole) * percent // 100]) for percent in CUTS} == dict.fromkeys(
        CUTS, "truncated"
    )


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "tiled tiff"])  # tiles end in zeros
def test_a_file_filled_up_with_zeros_is_refused(encoding):
    whole = ENCODINGS[encoding]
    found = [reason_of(whole[: len(whole) * percent // 100].ljust(len(whole), b"\0")) for percent in CUTS[:-2]]
    if encoding in {"tiff", "bmp"}:  # where the picture is dark, zeros may be its own
        assert found.count("bad_entropy_data") >= 4
    else:
        assert set(found) <= {"bad_entropy_data", "truncated"}


@pytest.mark.parametrize("encoding", ["tiff", "bmp", "webp", "lossless webp", "avif"])
def test_a_black_half_is_no_damage(encoding):
    black = RGB.copy()
    black[200:] = 0
    options = {"lossless webp": {"lossless": True}}.get(encoding, {})
    assert reason_of(encoded(black, encoding.split()[-1].upper(), **options)) == "decoded ()"
    assert reason_of(encoded(np.zeros_like(RGB), encoding.split()[-1].upper(), **options)) == "decoded ()"


@pytest.mark.parametrize("method", [0, 2, 6])
@pytest.mark.parametrize("quality", [10, 80, 100])
def test_a_lossy_webp_needs_the_zeros_that_it_ends_in(quality, method):
    flat = RGB.copy()
    flat[130:] = 128  # ends in hundreds of zeros with method 0
    assert reason_of(encoded(flat, "WEBP", quality=quality, method=method)) == "decoded ()"
    whole = encoded(RGB, "WEBP", quality=quality, method=method)
    for percent in (5, 30, 60, 90):
        unwritten = len(whole) * percent // 100
        assert reason_of(whole[:-unwritten] + bytes(unwritten)) == "bad_entropy_data"


def gif_codes(whole):
    """Position of the first sub-block of codes of a GIF that Pillow has written."""
    position = 13 + (3 << (whole[10] & 7) + 1)
    while whole[position] == 0x21:
        position += 2
        while whole[position]:
            position += 1 + whole[position]
        position += 1
    return position + 11


@pytest.mark.slow  # hundreds of files
def test_a_gif_whose_codes_stand_for_more_or_fewer_pixels_is_refused():
    whole = ENCODINGS["gif"]
    start, random = gif_codes(whole), np.random.default_rng(2)
    refused = 0
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[int(random.integers(start + 1, len(whole) - 20))] ^= 1 << int(random.integers(8))
        refused += reason_of(bytes(damaged)) in {"bad_entropy_data", "truncated"}
    assert refused >= 20  # many a flipped bit only changes a colour; Pillow alone refuses 8


def test_a_gif_without_its_trailer_is_noted():
    assert reason_of(ENCODINGS["gif"][:-1]) == "decoded ('no end marker',)"
    assert reason_of(ENCODINGS["gif"] + b"appended") == "decoded ()"


def test_a_gif_with_a_colour_beyond_its_palette_is_refused():
    pixels = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 4, "P")
    pixels.putpalette(bytes(12))
    buffer = io.BytesIO()
    pixels.save(buffer, "GIF")
    whole = bytearray(buffer.getvalue())
    assert reason_of(bytes(whole)) == "decoded ()"
    whole[10] = whole[10] & 0xF8  # two colours now, and half of the table to drop
    assert reason_of(bytes(whole[:19] + whole[25:])) == "bad_entropy_data"
