"""Makes EXIF true of the coloured file, in place: all other tags keep their bytes and positions.

Maker notes of cameras refer to bytes by their position in the block, so rewriting the block would break them.
"""

import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from PIL import ExifTags

from recolor.images.orientation import TRANSPOSED

_TAGS = ExifTags.Base
_SRGB = 1
_SRGB_RULE = b"R98\0"  # DCF basic file, which is in sRGB; R03 would be Adobe RGB
_INTEROP_INDEX, _RELATED_WIDTH, _RELATED_HEIGHT = 0x0001, 0x1001, 0x1002
# What describes the samples of the original (TIFF 6.0, section 8; Exif 3.0, 4.6.5), and copies of XMP and its profile.
_OF_SAMPLES = frozenset(
    {_TAGS.BitsPerSample, _TAGS.Compression, _TAGS.PhotometricInterpretation, _TAGS.StripOffsets, _TAGS.SamplesPerPixel,
     _TAGS.RowsPerStrip, _TAGS.StripByteCounts, _TAGS.PlanarConfiguration, _TAGS.TransferFunction, _TAGS.WhitePoint,
     _TAGS.PrimaryChromaticities, _TAGS.YCbCrCoefficients, _TAGS.YCbCrSubSampling, _TAGS.ReferenceBlackWhite,
     _TAGS.XMLPacket, _TAGS.InterColorProfile}
)  # fmt: skip
_OF_COMPRESSION = frozenset({_TAGS.CompressedBitsPerPixel, _TAGS.Gamma})
_PLACES = frozenset({0x9214, 0xA214})  # SubjectArea and SubjectLocation: pixels of the unturned picture (Exif 3.0)

_ENTRY_BYTES = 12
_SHORT, _LONG = 3, 4
_INTEGERS = {_SHORT: "H", _LONG: "I"}  # some editors write LONG where SHORT is meant, and the other way round
_MAX_SHORT = 65_535
_MAX_ENTRIES = 1000


def exif_of_result(block: bytes, width_px: int, height_px: int, orientation: int) -> bytes:
    """Returns an EXIF block that is true of upright sRGB pixels, without its thumbnail, which is grey and unrotated.

    Sizes and resolutions are those of the result where the block gives any. Descriptions of the original's samples are
    removed.

    Args:
        block: EXIF block from its TIFF header on.
        width_px: Width of the result.
        height_px: Height of the result.
        orientation: Orientation that was applied, 1..8.

    Returns:
        The changed block; empty if its tags cannot be read.
    """
    edited = bytearray(block)
    turned = orientation in TRANSPOSED
    try:
        first = _first(edited)
        _entries(edited, first)
    except struct.error:
        return b""
    with suppress(struct.error):
        _drop_thumbnail(edited, first)
    photograph = _linked(edited, first, ExifTags.IFD.Exif)
    interop = photograph and _linked(edited, photograph, ExifTags.IFD.Interop)
    if turned:
        _swap(edited, first, _TAGS.XResolution, _TAGS.YResolution)
    sides: dict[int, int] = {_TAGS.ImageWidth: width_px, _TAGS.ImageLength: height_px}
    _set(edited, first, {_TAGS.Orientation: 1} | sides)
    _remove(edited, first, _OF_SAMPLES)
    if photograph:
        if turned:
            _swap(edited, photograph, _TAGS.FocalPlaneXResolution, _TAGS.FocalPlaneYResolution)
        sides = {_TAGS.ExifImageWidth: width_px, _TAGS.ExifImageHeight: height_px}
        _set(edited, photograph, {_TAGS.ColorSpace: _SRGB} | sides)
        _remove(edited, photograph, _OF_COMPRESSION if orientation == 1 else _OF_COMPRESSION | _PLACES)
    if interop:
        _set(edited, interop, {_RELATED_WIDTH: width_px, _RELATED_HEIGHT: height_px})
        for position, tag, _ in _entries(edited, interop):
            if tag == _INTEROP_INDEX:
                edited[position + 8 : position + 12] = _SRGB_RULE
    return bytes(edited)


@dataclass(frozen=True, slots=True)
class _Directory:
    """A tag directory: byte order for `struct`, position of the number of entries."""

    order: str
    start: int


def _first(block: bytearray) -> _Directory:
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None:
        raise struct.error("no byte order")
    return _Directory(order, struct.unpack_from(order + "I", block, 4)[0])


def _linked(block: bytearray, directory: _Directory, tag: int) -> _Directory | None:
    """Returns the directory that a tag refers to; None if there is none, or if its entries go beyond the block."""
    starts = [position for position, found, _ in _entries(block, directory) if found == tag]
    if not starts:
        return None
    linked = _Directory(directory.order, struct.unpack_from(directory.order + "I", block, starts[0] + 8)[0])
    try:
        _entries(block, linked)
    except struct.error:
        return None
    return linked


def _entries(block: bytearray, directory: _Directory) -> list[tuple[int, int, int]]:
    """Returns position, tag and type of each entry.

    Raises:
        struct.error: The entries go beyond the block.
    """
    first = directory.start + 2
    starts = range(first, first + _ENTRY_BYTES * _count(block, directory), _ENTRY_BYTES)
    if starts and starts[-1] + _ENTRY_BYTES > len(block):
        raise struct.error("the directory is cut off")
    return [(start, *struct.unpack_from(directory.order + "HH", block, start)) for start in starts]


def _count(block: bytearray, directory: _Directory) -> int:
    (entries,) = struct.unpack_from(directory.order + "H", block, directory.start)
    return min(int(entries), _MAX_ENTRIES)


def _end(block: bytearray, directory: _Directory) -> int:
    """Returns the position behind the entries, where the first directory has the position of the second."""
    return directory.start + 2 + _ENTRY_BYTES * _count(block, directory)


def _set(block: bytearray, directory: _Directory, values: Mapping[int, int]) -> None:
    """Sets tags that are there to an integer each; a SHORT that is too small for its value becomes a LONG."""
    for position, tag, kind in _entries(block, directory):
        if tag not in values or kind not in _INTEGERS:
            continue
        written = _LONG if values[tag] > _MAX_SHORT else kind
        struct.pack_into(directory.order + "HI4x", block, position + 2, written, 1)
        struct.pack_into(directory.order + _INTEGERS[written], block, position + 8, values[tag])


def _swap(block: bytearray, directory: _Directory, across: int, down: int) -> None:
    """Exchanges the values of two tags of the same type."""
    found = {tag: (position, kind) for position, tag, kind in _entries(block, directory) if tag in (across, down)}
    if len(found) == 2 and found[across][1] == found[down][1]:
        one, other = (slice(position + 4, position + 12) for position, _ in found.values())
        block[one], block[other] = block[other], block[one]


def _remove(block: bytearray, directory: _Directory, tags: Collection[int]) -> None:
    """Removes entries; those behind them move up, and zeros are left behind the directory."""
    while (found := next((start for start, tag, _ in _entries(block, directory) if tag in tags), None)) is not None:
        count, end = _count(block, directory), _end(block, directory)
        following = end + 4 if end + 4 <= len(block) else end  # with the position of the second directory
        block[found:following] = block[found + _ENTRY_BYTES : following] + bytes(_ENTRY_BYTES)
        struct.pack_into(directory.order + "H", block, directory.start, count - 1)


def _drop_thumbnail(block: bytearray, first: _Directory) -> None:
    """Removes the second directory and its JPEG.

    The bytes of the JPEG are cut off if they end the block, and zeroed if not.
    """
    link = _end(block, first)
    (second_at,) = struct.unpack_from(first.order + "I", block, link)
    if second_at == 0:
        return
    struct.pack_into(first.order + "I", block, link, 0)
    second = _Directory(first.order, second_at)
    values = {
        tag: struct.unpack_from(second.order + "I", block, position + 8)[0]
        for position, tag, _ in _entries(block, second)
    }
    start, size = values.get(_TAGS.JpegIFOffset, 0), values.get(_TAGS.JpegIFByteCount, 0)
    if start < max(link + 4, _end(block, second)) or not size:
        return
    if start + size >= len(block) - 1:  # a block may be padded to an even length
        del block[start:]
    else:
        block[start : start + size] = bytes(size)
