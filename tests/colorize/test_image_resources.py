"""Photoshop's image resources; written here by the specification."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from stale_metadata import IPTC, resource

from recolor.colorize.image_resources import (
    from_segments,
    iptc,
    resource_of_iptc,
    resources_of_result,
    to_segments,
)

THUMBNAILS = [0x0409, 0x040C]


def test_thumbnails_and_copies_of_other_metadata_go_and_the_rest_keeps_its_bytes():
    kept = [
        resource(0x0404, IPTC),
        resource(0x0425, b"d" * 16),
        b"8BIM\x07\xd0\x05path1" + struct.pack(">I", 3) + b"abc\0",
    ]
    stale = [resource(number, b"\xff\xd8\xff odd") for number in (*THUMBNAILS, 0x040F, 0x0422, 0x0423, 0x0424)]
    mixed = kept[0] + stale[0] + stale[1] + kept[1] + b"".join(stale[2:]) + kept[2]
    assert resources_of_result(mixed, turned=False) == b"".join(kept)
    assert iptc(mixed) == IPTC


def test_resources_end_where_one_cannot_be_read():
    good = resource(0x0404, IPTC)
    for broken in (b"8BIM", b"8BIM\x04\x0c\0", resource(0x040C, b"thumbnail")[:-3], b"junk", b"8BIM\x04\x25\xff"):
        assert resources_of_result(good + broken, turned=False) == good


def test_resolutions_change_places_where_the_picture_is_turned():
    across, down = struct.pack(">IHH", 300 << 16, 1, 1), struct.pack(">IHH", 72 << 16, 1, 2)
    assert resources_of_result(resource(0x03ED, across + down), turned=True) == resource(0x03ED, down + across)
    assert resources_of_result(resource(0x03ED, across + down), turned=False) == resource(0x03ED, across + down)


def test_a_resource_may_begin_in_one_segment_and_end_in_the_next():
    whole = resource(0x0404, IPTC * 9)
    bodies = [b"Photoshop 3.0\0" + whole[:30], b"Adobe_CM\0\2", b"Photoshop 3.0\0" + whole[30:]]
    assert from_segments(bodies) == whole
    assert next(to_segments(whole, 30)) == bodies[0]
    assert from_segments(list(to_segments(whole, 7))) == whole


@given(st.binary(max_size=40), st.booleans())
def test_iptc_of_any_bytes_comes_back(data, turned):
    assert iptc(resources_of_result(resource_of_iptc(data), turned=turned)) == data


@given(st.binary(max_size=60).map(b"8BIM".__add__), st.booleans())
def test_any_bytes_give_resources_that_are_read_the_same_again(data, turned):
    once = resources_of_result(data, turned=turned)
    assert resources_of_result(once, turned=False) == once
