"""JPEGs whose colours are sampled in a way that TurboJPEG has no name for: read, and judged as strictly."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images.encoding import encoded
from PIL import Image
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode
from recolor.images.jpeg_header import read_header
from recolor.images.jpeg_huffman import check_blocks

LIMITS = MeasureConfig()
RGB = photographs.chelsea()[:203, :301]
SAMPLINGS = [
    ((2, 2), (2, 1), (1, 1)), ((2, 2), (1, 2), (1, 1)), ((3, 1), (1, 1), (1, 1)), ((2, 1), (1, 1), (2, 1)),
    ((4, 4), (1, 1), (1, 1)),
]  # fmt: skip
ODD = SAMPLINGS[0]


def in_three_scans(factors, rgb=RGB):
    """A JPEG of one scan a component: each is coded as a grey JPEG of its size, whatever the others are."""
    height, width = rgb.shape[:2]
    planes = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    most_across, most_down = (max(sides) for sides in zip(*factors))
    head, coded = b"", b""
    for number, (across, down) in enumerate(factors):
        size = (-(-width * across // most_across), -(-height * down // most_down))
        grey = encoded(cv2.resize(planes[..., number], size, interpolation=cv2.INTER_AREA), "JPEG", quality=90)
        frame, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
        if not head:
            components = b"".join(bytes((n + 1, h << 4 | v, 0)) for n, (h, v) in enumerate(factors))
            head = grey[:frame] + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + components
            head += grey[frame + 2 + int.from_bytes(grey[frame + 2 : frame + 4]) : scan]
        coded += b"\xff\xda\0\x08\1" + bytes((number + 1, 0)) + b"\0\x3f\0" + grey[scan + 10 : -2]
    return head + coded + b"\xff\xd9"


def in_one_scan(factors, blocks_a_unit, units):
    """A mid-grey JPEG in one scan: each block has the code 00 for no difference, and 1010 for its end."""
    whole = in_three_scans(factors)
    scan = whole.index(b"\xff\xda")
    bits = "001010" * (blocks_a_unit * units)
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    return whole[:scan] + b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0" + coded + b"\xff\xd9"


def reason_of(source):
    try:
        decode(source, LIMITS, 64)
    except ImageError as error:
        return error.reason
    return "decoded"


@pytest.mark.parametrize("factors", SAMPLINGS)
def test_any_sampling_is_read(factors):
    decoded = decode(in_three_scans(factors), LIMITS, 32)
    assert (decoded.format, decoded.mode, decoded.pixels.shape) == ("JPEG", "RGB", RGB.shape)
    assert np.abs(decoded.pixels.astype(int) - RGB).mean() < 4
    assert decoded.notes == ()


def test_components_of_one_scan_are_read_and_counted():
    units = -(-203 // 16) * -(-301 // 16)
    assert (decode(in_one_scan(ODD, 7, units), LIMITS).pixels == 128).all()
    assert reason_of(in_one_scan(ODD, 7, units - 1)) == "truncated"
    assert reason_of(in_one_scan(ODD, 7, units + 2)) == "bad_entropy_data"
    assert reason_of(in_one_scan(ODD, 6, units)) == "truncated"


@pytest.mark.parametrize("percent", [5, 20, 50, 80, 98])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_file_cut_short_is_damaged(percent, end):
    whole = in_three_scans(ODD)
    cut = whole[: len(whole) * percent // 100]
    assert reason_of(cut + end) in {"truncated", "bad_entropy_data"}
    assert reason_of(cut.ljust(len(whole), b"\0") + end) in {"truncated", "bad_entropy_data"}


def test_the_orientation_and_the_limits_count():
    exif = Image.Exif()
    exif[0x0112] = 6
    segment = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    source = in_three_scans(ODD)
    turned = source[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + source[2:]
    assert decode(turned, LIMITS).pixels.shape == (301, 203, 3)
    with pytest.raises(ImageError, match="too_many_pixels"):
        decode(source, MeasureConfig(max_pixels=50_000), 32)


OPTIONS = st.fixed_dictionaries({
    "quality": st.integers(5, 100),
    "subsampling": st.integers(0, 2),
    "optimize": st.booleans(),
    "restart_marker_blocks": st.integers(0, 7),
})  # fmt: skip


@settings(max_examples=40)
@given(OPTIONS, st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_the_codes_of_any_sequential_jpeg_are_followed_to_the_end(options, height, width, seed):
    smooth = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    source = encoded(cv2.resize(smooth, (width, height)), "JPEG", **options)
    check_blocks(source, read_header(source))


@settings(max_examples=100)
@given(st.data())
def test_what_the_strict_decoder_refuses_is_refused(data):
    """Also a flipped bit that it passes: a block of too many coefficients, of which libjpeg does not warn."""
    source = bytearray(encoded(RGB, "JPEG", quality=90))
    header = read_header(bytes(source))
    position = data.draw(st.integers(header.scan + 14, len(source) - 3))
    source[position] ^= 1 << data.draw(st.integers(0, 7))
    damaged = bytes(source)
    if reason_of(damaged) == "decoded":
        return
    with pytest.raises(ImageError) as error:
        check_blocks(damaged, read_header(damaged))
    assert error.value.reason in {"truncated", "bad_entropy_data"}


def test_a_progressive_one_stays_refused_by_name():
    source = in_three_scans(ODD).replace(b"\xff\xc0", b"\xff\xc2", 1)
    with pytest.raises(ImageError, match=r"unsupported: .*sampled in a way that has no name"):
        decode(source, LIMITS)


def test_a_marker_between_the_codes_is_damage():
    source = in_three_scans(ODD)
    stuffed = source.index(b"\xff\0", source.index(b"\xff\xda"))
    assert reason_of(source[: stuffed + 1] + b"\1" + source[stuffed + 2 :]) == "bad_entropy_data"


def test_tables_and_scans_that_cannot_be_are_refused():
    source = in_three_scans(ODD)
    table = source.index(b"\xff\xc4")
    too_many = source[: table + 5] + b"\x05" + source[table + 6 :]
    assert reason_of(too_many) == "bad_entropy_data"
    assert reason_of(source.replace(b"\xff\xda\0\x08\1\3\0", b"\xff\xda\0\x08\1\3\x11")) == "bad_entropy_data"
    third = source.rindex(b"\xff\xda")
    assert reason_of(source[:third] + b"\xff\xd9") == "truncated"
