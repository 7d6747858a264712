"""Each case is a whole PNG that is well-formed but for the one chunk: refused, or decoded with a note."""

import struct
import zlib

import pytest

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
COLOURS = (b"PLTE", b"\0\0\0\x10\x20\x30")
COLOUR_BODIES = {
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"cICP": b"\1\x0d\0\1",
}
NUMBERS = struct.pack(">ii", 0, 65535)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks, colour=2, depth=8, end=b""):
    row_bytes = 1 + (4 * CHANNELS[colour] * depth + 7) // 8
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 4, 3, depth, colour, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(bytes(3 * row_bytes))), (b"IEND", end)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def is_in_order(data):
    try:
        decoded = decode(data, MeasureConfig())
    except ImageError as error:
        assert error.reason == "bad_entropy_data"  # noqa: PT017 - either outcome is right
        return False
    return decoded.notes == ()


@pytest.mark.parametrize(
    "body", [b"\x01" + b"1\x002", b"\x02.5e-4\x00+20.", b"\x01" + b"1E9\x003.52e-04", b"\x02" + b"0.01\x0010"]
)
def test_a_physical_scale_is_a_unit_and_two_positive_numbers(body):
    assert is_in_order(png((b"sCAL", body)))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\x01", b"\x00" + b"1\x001", b"\x03" + b"1\x001", b"\x01" + b"1", b"\x01\x001", b"\x01" + b"1\x00-1",
        b"\x01" + b"0\x001", b"\x01Q.5\x003", b"\x01" + b"1\x001\x00", b"\x01" + b"1e\x001", b"\x01" + b"1.2.3\x001",
    ],
)  # fmt: skip
def test_no_other_physical_scale_is_one(body):
    assert not is_in_order(png((b"sCAL", body)))


def test_a_physical_scale_of_a_million_digits_is_read_in_linear_time():
    digits = b"1" * 1_000_000
    assert is_in_order(png((b"sCAL", b"\x01" + digits + b"\x00" + digits)))
    assert not is_in_order(png((b"sCAL", b"\x01" + digits + b"x")))
    assert not is_in_order(png((b"sCAL", b"\x01" + b"0" * 1_000_000)))


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize(("depth", "entry_bytes"), [(8, 6), (16, 10)])
def test_a_suggested_palette_holds_whole_entries(depth, entry_bytes, count):
    start = b"name\0" + bytes([depth])
    assert is_in_order(png((b"sPLT", start + bytes(entry_bytes * count))))
    assert not is_in_order(png((b"sPLT", start + bytes(entry_bytes * count + entry_bytes // 2))))


@pytest.mark.parametrize("body", [b"", b"name", b"name\0", b"name\0\x04", b"\0\x08", b"a" * 80 + b"\0\x08"])
def test_a_suggested_palette_has_a_name_and_a_depth(body):
    assert not is_in_order(png((b"sPLT", body)))


@pytest.mark.parametrize(("equation", "count"), [(0, 2), (1, 3), (2, 3), (3, 4)])
def test_a_calibration_has_the_parameters_of_its_equation(equation, count):
    for found in range(6):
        body = b"name\0" + NUMBERS + bytes([equation, found]) + b"unit" + b"\x001.5" * found
        assert is_in_order(png((b"pCAL", body))) == (found == count)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"name\0",
        b"name\0" + NUMBERS,
        b"\0" + NUMBERS + b"\0\2unit\x001\x002",
        b"n\0" + NUMBERS + b"\4\2u\x001\x002",
    ],
)
def test_a_calibration_has_a_name_and_a_known_equation(body):
    assert not is_in_order(png((b"pCAL", body)))


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (b"sBIT", {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}),
        (b"bKGD", {0: 2, 2: 6, 3: 1, 4: 2, 6: 6}),
        (b"tRNS", {0: 2, 2: 6}),
    ],
)
def test_some_lengths_follow_from_the_colour_type(kind, sizes):
    for colour, size in sizes.items():
        before, after = ([COLOURS], []) if colour == 3 and kind != b"sBIT" else ([], [COLOURS] if colour == 3 else [])
        for length in range(8):
            data = png(*before, (kind, bytes([1] * length)), *after, colour=colour)
            assert is_in_order(data) == (length == size), (colour, length)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (b"cHRM", 32), (b"gAMA", 4), (b"sRGB", 1), (b"pHYs", 9), (b"tIME", 7), (b"oFFs", 9), (b"sTER", 1),
        (b"cICP", 4), (b"mDCV", 24), (b"cLLI", 8), (b"gIFg", 4),
    ],
)  # fmt: skip
def test_some_lengths_are_fixed(kind, size):
    for length in range(40):
        body = COLOUR_BODIES.get(kind, b"").ljust(length, b"\0")[:length]
        assert is_in_order(png((kind, body))) == (length == size), length


def test_the_end_is_empty():
    assert is_in_order(png())
    assert not is_in_order(png(end=b"\0"))


@pytest.mark.parametrize(("kind", "highest"), [(b"sTER", 1), (b"oFFs", 1), (b"pHYs", 1), (b"sRGB", 3)])
def test_a_mode_is_one_of_those_defined(kind, highest):
    rest = bytes(8 if kind in (b"oFFs", b"pHYs") else 0)
    for mode in range(6):
        assert is_in_order(png((kind, rest + bytes([mode])))) == (mode <= highest)


def test_a_palette_has_as_many_entries_as_there_are_indices_or_fewer():
    for depth in (1, 2, 4, 8):
        for count in {1, 1 << depth, (1 << depth) + 1, 257}:
            assert is_in_order(png((b"PLTE", bytes(3 * count)), colour=3, depth=depth)) == (count <= 1 << depth)
    assert not is_in_order(png((b"PLTE", b""), colour=3))
    assert not is_in_order(png((b"PLTE", bytes(4)), colour=3))
    assert not is_in_order(png(COLOURS, colour=0))
    assert not is_in_order(png(colour=3))


@pytest.mark.parametrize(
    ("kind", "body"),
    [(b"tIME", b"late"), (b"pHYs", bytes(8)), (b"pHYs", bytes([0] * 8 + [9])), (b"bKGD", b""), (b"sBIT", b"\x08")],
)
def test_what_no_pixel_depends_on_may_have_another_form(kind, body):
    decoded = decode(png((kind, body)), MeasureConfig())
    assert decoded.notes == (f"the chunk {kind!r} of {len(body)} bytes does not fit",)
    assert (decoded.rgb == decode(png(), MeasureConfig()).rgb).all()


def test_what_belongs_to_a_palette_fits_it():
    assert is_in_order(png(COLOURS, (b"bKGD", b"\1"), (b"hIST", bytes(4)), (b"tRNS", b"\0\0"), colour=3))
    for kind, body in ((b"bKGD", b"\2"), (b"hIST", bytes(6)), (b"tRNS", bytes(3))):
        assert not is_in_order(png(COLOURS, (kind, body), colour=3))
        assert not is_in_order(png((kind, body), COLOURS, colour=3))


@pytest.mark.parametrize("value", [0, 255])
def test_a_time_that_there_is_not_is_not_judged(value):
    assert is_in_order(png((b"tIME", bytes([value] * 7))))


@pytest.mark.parametrize("kind", [b"cHRM", b"gAMA"])
@pytest.mark.parametrize("value", [0, 255])
def test_colours_that_there_are_not_are_noted(kind, value):
    size = {b"cHRM": 32, b"gAMA": 4}[kind]
    described = decode(png((kind, bytes([value] * size))), MeasureConfig())  # chromaticities of 42949.7, a gamma of 0
    assert [kind.decode() in note for note in described.notes] == [True]
    assert is_in_order(png((b"sRGB", b"\0"), (kind, bytes([value] * size))))  # what does not count is not judged


@pytest.mark.parametrize("appended", [b"\0", b"\n\n\n\n\n", bytes(5000), b"IDAT" * 9])
def test_bytes_after_the_end_are_no_damage(appended):
    assert is_in_order(png() + appended)


def test_an_unknown_chunk_is_an_error_only_if_it_is_critical():
    assert is_in_order(png((b"iDOT", bytes(28))))  # unregistered, and in most pictures that Apple's software writes
    assert is_in_order(png((b"caBX", b"private")))
    for kind in (b"IDOT", b"ABcD", b"abcd", b"i\0OT", b"iD0T"):
        assert not is_in_order(png((kind, b"")))
