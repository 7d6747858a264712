"""Sets EXIF orientations to upright in place; all other tags keep their bytes and positions.

Maker notes of cameras refer to bytes by their position in the block, so rewriting the block would break them.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass

_ORIENTATION_TAG = 0x0112
_THUMBNAIL_START_TAG, _THUMBNAIL_BYTES_TAG = 0x0201, 0x0202  # JPEGInterchangeFormat and its length (Exif 3.0, 4.6.5)
_ENTRY_BYTES = 12
_INTEGERS = {3: "H", 4: "I"}  # SHORT, and LONG as some editors write it
_MAX_ENTRIES = 1000


def upright_exif(block: bytes) -> bytes:
    """Sets the orientation to 1 and removes the thumbnail, which is still grey and unrotated.

    Args:
        block: EXIF block from its TIFF header on.

    Returns:
        The changed block; empty if its tags cannot be read.
    """
    edited = bytearray(block)
    try:
        _set_upright(edited)
    except struct.error:
        return b""
    with suppress(struct.error):
        _drop_thumbnail(edited)
    return bytes(edited)


@dataclass(frozen=True, slots=True)
class _Directory:
    """A tag directory: byte order for `struct`, position of the first entry, number of entries."""

    order: str
    start: int
    entries: int

    @property
    def end(self) -> int:
        """Position of the offset of the next directory."""
        return self.start + _ENTRY_BYTES * self.entries


def _set_upright(block: bytearray) -> None:
    for position, tag, kind in _entries(block, directory := _first(block)):
        if tag == _ORIENTATION_TAG and kind in _INTEGERS:
            struct.pack_into(directory.order + _INTEGERS[kind], block, position + 8, 1)


def _drop_thumbnail(block: bytearray) -> None:
    """Removes the second directory and its JPEG.

    The bytes of the JPEG are cut off if they end the block, and zeroed if not.
    """
    first = _first(block)
    (second_at,) = struct.unpack_from(first.order + "I", block, first.end)
    if second_at == 0:
        return
    struct.pack_into(first.order + "I", block, first.end, 0)
    second = _directory(block, first.order, second_at)
    values = {
        tag: struct.unpack_from(second.order + "I", block, position + 8)[0]
        for position, tag, _ in _entries(block, second)
    }
    start, size = values.get(_THUMBNAIL_START_TAG, 0), values.get(_THUMBNAIL_BYTES_TAG, 0)
    if start < max(first.end + 4, second.end) or not size:
        return
    if start + size >= len(block) - 1:  # a block may be padded to an even length
        del block[start:]
    else:
        block[start : start + size] = bytes(size)


def _first(block: bytearray) -> _Directory:
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None:
        raise struct.error("no byte order")
    return _directory(block, order, struct.unpack_from(order + "I", block, 4)[0])


def _directory(block: bytearray, order: str, position: int) -> _Directory:
    (entries,) = struct.unpack_from(order + "H", block, position)
    return _Directory(order, position + 2, min(entries, _MAX_ENTRIES))


def _entries(block: bytearray, directory: _Directory) -> list[tuple[int, int, int]]:
    """Returns position, tag and type of each entry."""
    starts = range(directory.start, directory.end, _ENTRY_BYTES)
    return [(start, *struct.unpack_from(directory.order + "HH", block, start)) for start in starts]
