"""JPEGs with what cameras and programs leave in them: whole pictures are kept with a note, others are refused."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode
from recolor.images.jpeg_header import read_header, scans

LIMITS = MeasureConfig()


def jpeg(pixels=None, **options):
    buffer = io.BytesIO()
    picture = Image.fromarray(photographs.chelsea() if pixels is None else pixels)
    picture.save(buffer, "JPEG", **({"quality": 85} | options))
    return buffer.getvalue()


KINDS = {
    "baseline": jpeg(),
    "progressive": jpeg(progressive=True),
    "restarts": jpeg(restart_marker_blocks=7),
    "grey": jpeg(photographs.camera()[:200, :300]),
    "optimised": jpeg(optimize=True, subsampling=0),
}


def same_pixels(data, whole):
    decoded = decode(data, LIMITS)
    assert np.array_equal(decoded.pixels, decode(whole, LIMITS).pixels)
    assert np.array_equal(decode(data, LIMITS, 64).pixels, decode(whole, LIMITS, 64).pixels)
    assert decode(decoded.tidy, LIMITS).notes == ()
    return decoded.notes


def reason_of(data):
    with pytest.raises(ImageError) as error:
        decode(data, LIMITS, 64)
    return error.value.reason


@pytest.mark.parametrize("parameters", [b"\0\0\0", b"\0\x3f\x11", b"\x01\x3f\0", b"\xff\xff\xff"])
def test_a_sequential_scan_has_whatever_parameters(parameters):
    whole = KINDS["baseline"]
    (scan,) = scans(whole, read_header(whole).scan)
    odd = whole[: scan.start - 3] + parameters + whole[scan.start :]
    assert same_pixels(odd, whole) == ("scan parameters that no sequential JPEG has",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stray", [b"\0", b"\0\0", b"\x12\x34\x56\x78", b"\0\1\0\xa0", b"ASCII of a maker"])
def test_a_few_stray_bytes_before_the_end_marker_are_noted(kind, stray):
    decoded = decode(KINDS[kind][:-2] + stray + KINDS[kind][-2:], LIMITS)
    assert np.array_equal(decoded.pixels, decode(KINDS[kind], LIMITS).pixels)
    noted = (f"{len(stray)} stray bytes before the end marker",)
    # A few bytes fit into the decoder's buffer, and are not noticed.
    assert decoded.notes == noted or (decoded.notes == () and len(stray) <= 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_end_marker_is_noted(kind):
    assert same_pixels(KINDS[kind][:-2], KINDS[kind]) == ("no end marker",)
    assert same_pixels(KINDS[kind][:-1], KINDS[kind])[0].startswith("no end marker")


@pytest.mark.parametrize("kind", KINDS)
def test_a_makers_trailer_behind_no_end_marker_is_noted(kind):
    trailer = b"\0\0\x30\x0aPanorama_Info" + np.random.default_rng(5).bytes(3000) + b"SEFT"
    notes = same_pixels(KINDS[kind][:-2] + trailer, KINDS[kind])
    assert notes == (f"no end marker before {len(trailer)} other bytes",)


def test_hundreds_of_equal_stray_bytes_are_noted_and_of_others_refused():
    whole = KINDS["baseline"]
    assert same_pixels(whole[:-2] + bytes(600) + whole[-2:], whole) == ("600 stray bytes before the end marker",)
    assert reason_of(whole[:-2] + bytes(range(1, 200)) * 3 + whole[-2:]) == "bad_entropy_data"


@pytest.mark.parametrize("kind", KINDS)
def test_stray_bytes_between_segments_are_noted(kind):
    whole = KINDS[kind]
    at = whole.index(b"\xff\xdb")
    assert same_pixels(whole[:at] + b"stray" + whole[at:], whole) == ("5 stray bytes between segments",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("percent", [5, 20, 50, 80, 95, 98])
def test_a_file_cut_short_is_truncated(kind, percent):
    whole = KINDS[kind]
    assert reason_of(whole[: len(whole) * percent // 100]) == "truncated"
    assert reason_of(whole[: len(whole) * percent // 100] + b"\xff\xd9") in {"bad_entropy_data", "truncated"}


def test_a_progressive_file_cut_between_two_scans_is_truncated():
    whole = KINDS["progressive"]
    found = list(scans(whole, read_header(whole).scan))
    for scan in found[:-1]:
        assert reason_of(whole[: scan.end]) == "truncated"


@pytest.mark.parametrize("kind", ["baseline", "restarts", "optimised"])
@pytest.mark.parametrize("percent", [30, 60, 90])
def test_a_file_filled_up_with_zeros_is_refused(kind, percent):
    whole = KINDS[kind]
    cut = len(whole) * percent // 100
    assert reason_of(whole[:cut] + bytes(len(whole) - cut)) in {"bad_entropy_data", "truncated"}


def test_a_marker_made_by_a_flipped_bit_is_damage():
    whole = bytearray(KINDS["baseline"])
    (scan,) = scans(bytes(whole), read_header(bytes(whole)).scan)
    middle = (scan.start + scan.end) // 2
    whole[middle : middle + 2] = b"\xff\x3f"
    assert reason_of(bytes(whole)) == "bad_entropy_data"


@pytest.mark.parametrize("kind", ["baseline", "grey", "optimised"])
def test_what_damage_leaves_over_is_hardly_ever_taken_for_stray_bytes(kind):
    whole, random = KINDS[kind], np.random.default_rng(3)
    (scan,) = scans(whole, read_header(whole).scan)
    kept, refused = 0, 0
    while refused < 100:
        damaged = bytearray(whole)
        for at in random.integers(scan.start, scan.end - 2, 6):
            damaged[at] ^= 1 << int(random.integers(8))
        try:
            kept += bool(decode(bytes(damaged), LIMITS, 8).notes)
        except ImageError:
            refused += 1
    assert kept <= 2


def test_the_number_of_lines_may_follow_the_first_scan():
    whole = KINDS["baseline"]
    frame = read_header(whole).frame
    height = whole[frame + 1 : frame + 3]
    later = whole[: frame + 1] + b"\0\0" + whole[frame + 3 : -2] + b"\xff\xdc\0\4" + height + b"\xff\xd9"
    assert np.array_equal(decode(later, LIMITS).pixels, decode(whole, LIMITS).pixels)


def test_twelve_bits_are_refused_by_name():
    frame = read_header(KINDS["baseline"]).frame
    twelve = KINDS["baseline"][:frame] + b"\x0c" + KINDS["baseline"][frame + 1 :]
    with pytest.raises(ImageError, match="12 bits"):
        decode(twelve, LIMITS)
