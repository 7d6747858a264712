"""EXIF of the coloured file, changed in place; blocks are built here, and read again by Pillow."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from stale_metadata import exif as stale_exif

from recolor.colorize.exif import exif_of_result

SHORT, LONG, RATIONAL = 3, 4, 5


def block(*entries, order="<", behind=b""):
    """A block of one directory: entries of tag, type, count and the four bytes of the value."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    body = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + body + bytes(4) + behind


def read(data):
    exif = Image.Exif()
    exif.load(data)
    return exif


def test_sizes_colour_space_and_rule_are_those_of_the_result():
    exif = read(exif_of_result(stale_exif(adobe_rgb=True)[6:], 300, 70_000, 6))
    assert (exif[0x0100], exif[0x0101], exif[0x0112], exif[0x010F]) == (300, 70_000, 1, "Maker")
    assert 0x0106 not in exif
    inner = exif.get_ifd(0x8769)
    assert (inner[0xA001], inner[0xA002], inner[0xA003], inner[0x829A]) == (1, 300, 70_000, 0.25)
    assert exif.get_ifd(0xA005)[1] == "R98"


@pytest.mark.parametrize("order", "<>")
def test_a_removed_tag_moves_only_the_entries_behind_it(order):
    value = struct.pack(order + "HH", 7, 0)
    note = b"note" * 3
    maker_note = (0x927C, 7, 12, struct.pack(order + "I", 62))
    integers = [(tag, SHORT, 1, value) for tag in (0x0102, 0x0112, 0x0115)]
    before = block(*integers, maker_note, order=order, behind=note)
    after = exif_of_result(before, 4, 4, 3)
    one = struct.pack(order + "HH", 1, 0)
    kept = block((0x0112, SHORT, 1, one), maker_note, order=order)
    assert after == kept + bytes(24) + note


def test_resolutions_change_places_where_the_picture_is_turned():
    across, down = struct.pack("<I", 100), struct.pack("<I", 108)
    entries = [(0x011A, RATIONAL, 1, across), (0x011B, RATIONAL, 1, down)]
    turned = block((0x011A, RATIONAL, 1, down), (0x011B, RATIONAL, 1, across), behind=bytes(80))
    before = block(*entries, behind=bytes(80))
    assert exif_of_result(before, 4, 4, 6) == turned
    assert exif_of_result(before, 4, 4, 3) == before


def test_places_in_the_picture_go_where_it_is_turned_or_mirrored():
    area = (0x9214, SHORT, 2, struct.pack("<HH", 5, 5))
    inner = struct.pack("<H", 1) + struct.pack("<HHI", *area[:3]) + area[3] + bytes(4)
    before = block((0x8769, LONG, 1, struct.pack("<I", 26)), behind=inner)
    assert exif_of_result(before, 4, 4, 1) == before
    assert read(exif_of_result(before, 4, 4, 2)).get_ifd(0x8769) == {}


@pytest.mark.parametrize("link", [0, 8, 9, 25, 10_000, 2**32 - 1])
def test_a_directory_that_cannot_be_is_left_alone(link):
    before = block((0x0112, SHORT, 1, b"\6\0\0\0"), (0x8769, LONG, 1, struct.pack("<I", link)))
    after = exif_of_result(before, 4, 4, 6)
    assert len(after) == len(before)
    assert after[:18] == before[:18]
    assert after[18] == 1


TAGS = st.sampled_from([0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010F, 0x0112, 0x0115, 0x011A, 0x011B, 0x8298, 0x9286])
ENTRY = st.tuples(TAGS, st.sampled_from([SHORT, LONG]), st.just(1), st.binary(min_size=4, max_size=4))
ENTRIES = st.lists(ENTRY, unique_by=lambda entry: entry[0])
SIDES = st.integers(1, 100_000)


@given(ENTRIES, st.sampled_from("<>"), SIDES, SIDES, st.integers(1, 8))
def test_every_tag_that_says_nothing_of_the_samples_keeps_its_value(entries, order, width, height, orientation):
    entries.sort()
    before = block(*entries, order=order, behind=b"maker note")
    after = exif_of_result(before, width, height, orientation)
    assert len(after) == len(before)
    assert after.endswith(b"maker note")
    was, now = read(before), read(after)
    assert set(was) - set(now) == set(was) & {0x0102, 0x0103, 0x0106, 0x0115}
    true = {0x0100: width, 0x0101: height, 0x0112: 1}
    swapped = {0x011A: 0x011B, 0x011B: 0x011A} if orientation > 4 and same_type(entries) else {}
    assert dict(now) == {tag: true.get(tag, was[swapped.get(tag, tag)]) for tag in now}
    assert exif_of_result(after, width, height, 1) == after


def same_type(entries):
    kinds = {tag: kind for tag, kind, *_ in entries}
    return kinds.get(0x011A) is not None and kinds.get(0x011A) == kinds.get(0x011B)


@given(st.binary(max_size=120) | st.binary(max_size=120).map(lambda tail: b"II*\0\x08\0\0\0" + tail))
def test_no_bytes_make_a_block_longer_or_raise(data):
    assert len(exif_of_result(data, 4, 5, 6)) in {0, *range(len(data) + 1)}
