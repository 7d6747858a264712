import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode
from recolor.images.bmp import check_runs

RANDOM = np.random.default_rng(7)


def bmp(pixels, *, width=5, height=3, bits=8, compression=0, colours=4, extra=b"", **changed):
    """A BMP of BITMAPINFOHEADER; `extra` stands between the header and the palette."""
    start = 54 + len(extra) + 4 * colours
    fields = {
        "file_bytes": start + len(pixels), "start": start, "header_bytes": 40, "width": width, "height": height,
        "planes": 1, "bits": bits, "compression": compression, "pixel_bytes": len(pixels), "across": 2835,
        "down": 2835, "colours": colours, "important": 0,
    } | changed  # fmt: skip
    palette = b"".join(struct.pack("<I", 0x10203 * index) for index in range(colours))
    return struct.pack("<2sI4xIIiiHHIIiiII", b"BM", *fields.values()) + extra + palette + pixels


def verdict(data, **limits):
    try:
        decode(data, MeasureConfig(**limits))
    except ImageError as error:
        return error.reason
    return "good"


GREY = bytes(8 * 3)


def test_a_header_that_fits_is_good():
    assert verdict(bmp(GREY)) == "good"
    assert verdict(bmp(GREY, pixel_bytes=0, file_bytes=0)) == "good"
    assert verdict(bmp(GREY) + b"appended") == "good"
    assert verdict(bmp(GREY, height=-3)) == "good"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"file_bytes": 2_111_692_253}, "truncated"),
        ({"pixel_bytes": 2_129_587_950}, "truncated"),
        ({"height": 4}, "truncated"),
        ({"planes": 30000}, "bad_entropy_data"),
        ({"width": -5}, "unsupported"),
        ({"width": 0}, "unsupported"),
        ({"height": 0}, "unsupported"),
        ({"width": 3_000_000, "height": 2_000_000}, "too_many_pixels"),
        ({"width": 2**31 - 1, "height": -(2**31)}, "too_many_pixels"),
        ({"bits": 30000}, "unsupported"),
        ({"header_bytes": 66}, "unsupported"),
        ({"compression": 9}, "unsupported"),
    ],
)
def test_a_header_that_cannot_be_true_is_refused(changed, reason):
    assert verdict(bmp(GREY, **changed)) == reason


@pytest.mark.parametrize(
    ("across", "down", "good"),
    [
        (2835, 1417, True), (0, 0, True), (0, 30_000_000, True), (-1, 30_000_000, True), (300, 30_000, True),
        (30_000_000, 3, False), (3, 30_000_000, False), (300, 30_001, False),
    ],
)  # fmt: skip
def test_pixels_have_a_shape(across, down, good):
    assert verdict(bmp(GREY, across=across, down=down)) == ("good" if good else "bad_entropy_data")


@pytest.mark.parametrize(("bits", "colours"), [(8, 101), (4, 5), (1, 1)])
@pytest.mark.parametrize("height", [3, -3])
def test_an_index_beyond_the_palette_is_refused(bits, colours, height):
    indices = RANDOM.integers(0, colours, (3, 5))
    assert verdict(bmp(packed(indices, bits), bits=bits, colours=colours, height=height)) == "good"
    indices[RANDOM.integers(3), RANDOM.integers(5)] = colours
    data = packed(indices, bits)
    assert verdict(bmp(data, bits=bits, colours=colours, height=height)) == "bad_entropy_data"
    assert verdict(bmp(data, bits=bits, colours=1 << bits, height=height)) == "good"


def packed(indices, bits):
    """Rows of indices, each padded to four bytes with ones: what is no pixel has no index."""
    powers = 1 << np.arange(bits - 1, -1, -1)
    ones = (indices[:, :, None] & powers > 0).reshape(len(indices), -1)
    padded = np.pad(ones, ((0, 0), (0, -ones.shape[1] % 32)), constant_values=True)
    return np.packbits(padded, axis=1).tobytes()


def test_runs_are_followed():
    rows = b"\5\1\0\0" * 3
    assert verdict(bmp(rows + b"\0\1", compression=1)) == "good"
    assert verdict(bmp(rows + b"\0\1", compression=2, bits=4)) == "good"
    assert verdict(bmp(b"\6\1" + rows + b"\0\1", compression=1)) == "bad_entropy_data"
    assert verdict(bmp(b"\6\1" + rows + b"\0\1", compression=2, bits=4)) == "bad_entropy_data"
    assert verdict(bmp(rows[:-6] + b"\0\1", compression=1)) == "truncated"
    assert verdict(bmp(rows, compression=1)) == "no_end_marker"
    assert verdict(bmp(rows + b"\0\1", compression=1, height=-3)) == "bad_entropy_data"


def masked(red, green, blue, bits=32, compression=3):
    pixels = bytes((bits * 5 + 31) // 32 * 4 * 3)
    extra = struct.pack("<III", red, green, blue) + bytes(4 if compression == 6 else 0)
    return bmp(pixels, bits=bits, compression=compression, colours=0, extra=extra)


@pytest.mark.parametrize("compression", [3, 6])
def test_masks_may_have_any_width_and_place(compression):
    assert verdict(masked(1 << 31, 0x3FF << 10, 0x3FF, compression=compression)) == "good"
    assert verdict(masked(0xF00, 0xF0, 0xF, bits=16, compression=compression)) == "good"


@pytest.mark.parametrize(
    ("masks", "bits"),
    [((0xF0F, 0xF0, 0xF000), 32), ((0xFF, 0xFF0, 0xF000), 32), ((0x10000, 0xF0, 0xF), 16), ((0xFF00, 0xFF, 0), 16)],
)
def test_masks_with_gaps_overlaps_or_nothing_are_refused(masks, bits):
    assert verdict(masked(*masks, bits=bits)) in {"bad_entropy_data", "unsupported"}


def test_a_tall_picture_with_masks_is_decoded_block_by_block():
    pixels = RANDOM.integers(0, 256, (150, 4, 3)).astype(np.uint32)
    words = pixels[..., 0] << 21 | pixels[..., 1] << 11 | pixels[..., 2]
    masks = struct.pack("<III", 255 << 21, 255 << 11, 255)
    data = bmp(words.astype("<u4").tobytes(), width=4, height=-150, bits=32, compression=3, colours=0, extra=masks)
    assert (decode(data, MeasureConfig()).rgb == pixels).all()


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_mask_for_alpha_is_used_unless_all_of_it_is_transparent(alpha):
    pixels = RANDOM.integers(0, 256, (3, 5, 4), np.uint8)
    pixels[..., 3] = np.minimum(pixels[..., 3], alpha)
    extra = struct.pack("<IIII", 255 << 16, 255 << 8, 255, 255 << 24)
    data = bmp(pixels.tobytes(), height=-3, bits=32, compression=3, colours=0, extra=extra, header_bytes=56)
    decoded = decode(data, MeasureConfig())
    np.testing.assert_array_equal(decoded.pixels, pixels[..., 2::-1])
    assert (decoded.alpha is None) if not alpha else (decoded.alpha == pixels[..., 3]).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_what_pillow_writes_is_read(mode):
    picture = Image.fromarray(RANDOM.integers(0, 256, (9, 13, 3), np.uint8)).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "BMP")
    decoded = decode(buffer.getvalue(), MeasureConfig())
    assert (decoded.rgb == np.asarray(picture.convert("RGB"))).all()


ROW = b"\x05\x01" + b"\0\0"  # five pixels, end of the row
END = b"\0\1"


def verdict_on_runs(data, *, bits=8, start=0):
    try:
        check_runs(data, start, 5, 3, bits=bits)
    except ImageError as error:
        return error.reason
    return "good"


@pytest.mark.parametrize(
    "data",
    [
        ROW * 3 + END,
        ROW * 2 + b"\x05\x01" + END,
        b"\0\0" * 3 + END,  # rows of background
        b"\0\2\5\2" + END,
        b"\0\2\0\2" + b"\x05\x01" + END,
        ROW * 2 + b"\0\3abc\0" + b"\2\1" + END,  # three pixels as they are, padded to an even number
        ROW * 3 + END + b"what follows is passed over",
    ],
)
def test_runs_that_fill_the_picture_are_good(data):
    assert verdict_on_runs(data) == "good"
    assert verdict_on_runs(b"before" + data, start=6) == "good"


@pytest.mark.parametrize(
    "data",
    [
        b"\x06\x01" + END,
        b"\x03\1\x03\1" + END,
        b"\0\6abcdef" + END,
        b"\0\2\6\0" + END,
        b"\0\2\0\4" + END,
        b"\0\2\xff\xff" + END,
        ROW * 3 + b"\1\1" + END,
        b"\0\0" * 4 + END,
    ],
)
def test_a_run_that_leaves_its_row_or_the_picture_is_bad(data):
    assert verdict_on_runs(data) == "bad_entropy_data"


@pytest.mark.parametrize(
    "data",
    [b"", END, ROW, ROW * 2 + END, ROW * 2 + b"\4\1" + END, ROW * 2 + b"\0\5abc", ROW + b"\0\2\5", ROW * 2 + b"\5"],
)
def test_runs_that_leave_rows_out_are_truncated(data):
    assert verdict_on_runs(data) == "truncated"


@pytest.mark.parametrize("rest", [b"", b"\0"])
def test_the_end_of_the_picture_must_be_marked(rest):
    assert verdict_on_runs(ROW * 3 + rest) == "no_end_marker"


def test_four_bits_take_half_the_bytes_rounded_up_to_an_even_number():
    assert verdict_on_runs(ROW * 2 + b"\0\5\x12\x34\x50\0" + END, bits=4) == "good"
    assert verdict_on_runs(ROW * 2 + b"\0\4\x12\x34" + b"\1\1" + END, bits=4) == "good"
    assert verdict_on_runs(ROW * 2 + b"\0\4abcd" + b"\1\1" + END, bits=8) == "good"


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 8]))
def test_runs_of_any_picture_are_good_and_none_of_their_beginnings_is(seed, bits):
    random = np.random.default_rng(seed)
    data = b""
    for _ in range(3):
        left = 5
        while left:
            count = int(random.integers(1, left + 1))
            size = (count * bits + 7) // 8
            literal = bytes([0, count]) + bytes(size + size % 2)
            data += literal if count > 2 and random.random() < 0.5 else bytes([count, random.integers(256)])
            left -= count
        data += b"\0\0"
    assert verdict_on_runs(data + END, bits=bits) == "good"
    assert all(
        verdict_on_runs(data[:cut] + tail, bits=bits) != "good" for cut in range(len(data) - 2) for tail in (b"", END)
    )


@given(st.binary(max_size=60), st.sampled_from([4, 8]))
def test_any_bytes_have_a_verdict_on_runs(data, bits):
    assert verdict_on_runs(data, bits=bits) in {"good", "truncated", "bad_entropy_data", "no_end_marker"}
