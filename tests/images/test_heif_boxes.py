"""The codes of colours are those of what is decoded, in any form that the boxes may have."""

import struct

import numpy as np
import pytest
from images.encoding import encoded
from PIL import Image
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.images import decode
from recolor.images.heif_boxes import boxes, color_codes

RGB = photographs.chelsea()[:64, :96]


def box(name, *content, wide=False):
    body = b"".join(content)
    if wide:
        return struct.pack(">I4sQ", 1, name, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), name) + body


def nclx(primaries, transfer):
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, 0x80))


def full(version=0, flags=0):
    return struct.pack(">I", version << 24 | flags)


def heif(properties, associations, *, tiles=(), id_bytes=2, wide=False):
    """The boxes of a file whose primary item is 7, and may be put together from tiles."""
    version = 0 if id_bytes == 2 else 1
    item = ">H" if id_bytes == 2 else ">I"
    pairs = b"".join(
        struct.pack(item, number) + bytes([len(indices)]) + b"".join(
            struct.pack(">H" if wide else ">B", index | (0x8000 if wide else 0x80)) for index in indices
        )
        for number, indices in associations.items()
    )  # fmt: skip
    ipma = box(b"ipma", full(version, int(wide)), struct.pack(">I", len(associations)), pairs)
    references = b"".join(struct.pack(item, tile) for tile in tiles)
    dimg = box(b"dimg", struct.pack(item, 7), struct.pack(">H", len(tiles)), references)
    meta = [
        box(b"hdlr", full(), bytes(20)),
        box(b"pitm", full(version), struct.pack(item, 7)),
        *(
            [box(b"iref", full(version), box(b"cdsc", struct.pack(item, 3), b"\0\1", struct.pack(item, 7)), dimg)]
            if tiles
            else []
        ),
        box(b"iprp", box(b"ipco", *properties, wide=wide), ipma),
    ]
    return box(b"ftyp", b"mif1\0\0\0\0") + box(b"meta", full(), *meta, wide=wide) + box(b"mdat", bytes(9))


ISPE = box(b"ispe", full(), struct.pack(">II", 96, 64))
ICC = box(b"colr", b"prof" + bytes(40))
FORMS = [{"id_bytes": id_bytes, "wide": wide} for id_bytes in (2, 4) for wide in (False, True)]


@pytest.mark.parametrize("form", FORMS)
def test_the_codes_of_the_primary_item_count(form):
    properties = [ISPE, nclx(9, 16), nclx(12, 13)]
    assert color_codes(heif(properties, {1: [1, 2], 7: [1, 3]}, **form)) == (12, 13)
    assert color_codes(heif([ISPE, ICC, nclx(12, 13)], {7: [1, 2, 3]}, **form)) == (12, 13)
    assert color_codes(heif(properties, {1: [1, 2], 7: [1]}, **form)) is None
    assert color_codes(heif([ISPE, ICC], {7: [1, 2]}, **form)) is None


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_of_tiles_has_its_own_codes_or_those_of_its_first_tile(form):
    properties = [ISPE, nclx(9, 14), nclx(12, 13)]
    assert color_codes(heif(properties, {1: [2], 2: [2], 7: [1, 3]}, tiles=(1, 2), **form)) == (12, 13)
    assert color_codes(heif(properties, {1: [2], 2: [2], 7: [1]}, tiles=(1, 2), **form)) == (9, 14)


@pytest.mark.parametrize("associations", [{7: [0]}, {7: [9]}, {7: []}, {}])
def test_properties_that_there_are_not_have_no_codes(associations):
    assert color_codes(heif([nclx(9, 16)], associations)) is None


def test_a_description_that_is_cut_off_is_none():
    short = box(b"colr", b"nclx\0\1\0\x0d")
    assert color_codes(heif([short], {7: [1]})) is None


@pytest.mark.parametrize("form", FORMS)
def test_any_file_that_is_cut_off_has_an_answer(form):
    whole = heif([ISPE, nclx(9, 14)], {1: [2], 7: [1]}, tiles=(1, 2), **form)
    assert {color_codes(whole[:end]) for end in range(len(whole))} <= {None, (9, 14)}
    assert [found.name for found in boxes(whole)] == [b"ftyp", b"meta", b"mdat"]


def test_a_sequence_has_the_codes_of_its_track():
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    plain = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=90)
    assert plain[8:12] == b"avis"
    assert color_codes(plain) == (1, 13)
    track = plain.index(b"nclx", plain.index(b"stsd"))
    described = plain[: track + 4] + b"\0\x0c" + plain[track + 6 :]
    assert color_codes(described) == (12, 13)
    limits = MeasureConfig()
    assert not np.array_equal(decode(described, limits).pixels, decode(plain, limits).pixels)
