import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor.errors import ImageError
from recolor.images.bmp_runs import check_runs

ROW = b"\x05\x01" + b"\0\0"  # five pixels, end of the row
END = b"\0\1"


def verdict(data, *, bits=8, start=0):
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
    assert verdict(data) == "good"
    assert verdict(b"before" + data, start=6) == "good"


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
    assert verdict(data) == "bad_entropy_data"


@pytest.mark.parametrize(
    "data",
    [b"", END, ROW, ROW * 2 + END, ROW * 2 + b"\4\1" + END, ROW * 2 + b"\0\5abc", ROW + b"\0\2\5", ROW * 2 + b"\5"],
)
def test_runs_that_leave_rows_out_are_truncated(data):
    assert verdict(data) == "truncated"


@pytest.mark.parametrize("rest", [b"", b"\0"])
def test_the_end_of_the_picture_must_be_marked(rest):
    assert verdict(ROW * 3 + rest) == "no_end_marker"


def test_four_bits_take_half_the_bytes_rounded_up_to_an_even_number():
    assert verdict(ROW * 2 + b"\0\5\x12\x34\x50\0" + END, bits=4) == "good"
    assert verdict(ROW * 2 + b"\0\4\x12\x34" + b"\1\1" + END, bits=4) == "good"
    assert verdict(ROW * 2 + b"\0\4abcd" + b"\1\1" + END, bits=8) == "good"


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
    assert verdict(data + END, bits=bits) == "good"
    assert all(verdict(data[:cut] + tail, bits=bits) != "good" for cut in range(len(data) - 2) for tail in (b"", END))


@given(st.binary(max_size=60), st.sampled_from([4, 8]))
def test_any_bytes_have_a_verdict(data, bits):
    assert verdict(data, bits=bits) in {"good", "truncated", "bad_entropy_data", "no_end_marker"}
