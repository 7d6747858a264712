"""The boxes of an AVIF or HEIC (ISO/IEC 14496-12), and the codes of its colours (`colr` of the type `nclx`)."""

from collections.abc import Iterator
from dataclasses import dataclass

_BOX_BYTES = 8  # the size, which 0 says is up to the end of what holds the box, and the name
_FULL_BYTES = 4  # version and flags, in front of the content of a full box
_SAMPLE_ENTRY_BYTES = 78  # of a visual sample entry, in front of the boxes in it
_CODES = b"nclx"
_CODES_BYTES = 7
_COUNT_BYTES = 2  # the number of references, in front of them
_TILE_OF = b"dimg"  # the reference from a picture that is put together to its parts


@dataclass(frozen=True, slots=True)
class Box:
    """Name of a box, and where it starts, its content starts and it ends."""

    name: bytes
    start: int
    content: int
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yields the boxes of the file, or of a part of it. The last one may go beyond its end."""
    position, end = start, len(data) if end is None else min(end, len(data))
    while position < end:
        size, content = int.from_bytes(data[position : position + 4]), position + _BOX_BYTES
        if size == 1:  # 64 bits follow the name
            size, content = int.from_bytes(data[content : content + 8]), content + 8
        elif size == 0:
            size = end - position
        if size < content - position:  # no box: stray bytes behind the last one
            return
        yield Box(data[position + 4 : position + 8], position, content, position + size)
        position += size


def color_codes(data: bytes) -> tuple[int, int] | None:
    """Returns the codes of primaries and transfer (ITU-T H.273) that belong to what is decoded.

    That is the primary item, or its first tile if it has none itself; in a sequence (the major brand `avis`) it is the
    track. A box that is too short counts as none.
    """
    if data[8:12] == b"avis" and (codes := _codes_of_track(data)) is not None:
        return codes
    return next((codes for meta in _all(data, b"meta") if (codes := _codes_of_primary(data, meta)) is not None), None)


def _codes(data: bytes, box: Box) -> tuple[int, int] | None:
    content = data[box.content : box.end]
    if box.name != b"colr" or content[:4] != _CODES or len(content) < len(_CODES) + _CODES_BYTES:
        return None
    return int.from_bytes(content[4:6]), int.from_bytes(content[6:8])


def _codes_of_track(data: bytes) -> tuple[int, int] | None:
    """Returns the codes of the first sample entry that has some."""
    for track in _all(data, b"moov", b"trak"):
        for box in _all(data, b"mdia", b"minf", b"stbl", b"stsd", within=track):
            for entry in boxes(data, box.content + _FULL_BYTES + 4, box.end):  # behind the number of entries
                for inner in boxes(data, entry.content + _SAMPLE_ENTRY_BYTES, entry.end):
                    if (codes := _codes(data, inner)) is not None:
                        return codes
    return None


def _codes_of_primary(data: bytes, meta: Box) -> tuple[int, int] | None:
    """Returns the codes of the primary item of a `meta` box or of its first tile."""
    inside = {box.name: box for box in boxes(data, meta.content + _FULL_BYTES, meta.end)}
    primary, properties = inside.get(b"pitm"), inside.get(b"iprp")
    if primary is None or properties is None:
        return None
    listed = [box for found in _all(data, b"ipco", within=properties) for box in boxes(data, found.content, found.end)]
    item = _number(data, primary.content + _FULL_BYTES, _id_bytes(data, primary))
    for candidate in (item, _first_tile(data, inside.get(b"iref"), item)):
        for index in _associations(data, properties, candidate):
            if 0 < index <= len(listed) and (codes := _codes(data, listed[index - 1])) is not None:
                return codes
    return None


def _all(data: bytes, *names: bytes, within: Box | None = None) -> Iterator[Box]:
    """Yields the boxes at the end of a path of names."""
    start, end = (0, None) if within is None else (within.content, within.end)
    for box in boxes(data, start, end):
        if box.name == names[0]:
            if len(names) == 1:
                yield box
            else:
                yield from _all(data, *names[1:], within=box)


def _number(data: bytes, position: int, size_bytes: int) -> int:
    return int.from_bytes(data[position : position + size_bytes])


def _id_bytes(data: bytes, box: Box) -> int:
    """Returns the size of the numbers of items in a full box: two bytes in version 0."""
    return 4 if any(data[box.content : box.content + 1]) else 2


def _first_tile(data: bytes, references: Box | None, item: int) -> int:
    """Returns the first item that an item is put together from, or 0, which is no item."""
    if references is None:
        return 0
    id_bytes = _id_bytes(data, references)
    for box in boxes(data, references.content + _FULL_BYTES, references.end):
        if box.name == _TILE_OF and _number(data, box.content, id_bytes) == item:
            return _number(data, box.content + id_bytes + _COUNT_BYTES, id_bytes)
    return 0


def _associations(data: bytes, properties: Box, item: int) -> Iterator[int]:
    """Yields the numbers of an item's properties in their list, counted from 1 (ISO/IEC 23008-12, 9.3.1)."""
    for box in _all(data, b"ipma", within=properties):
        id_bytes = _id_bytes(data, box)
        index_bytes = 2 if _number(data, box.content + 3, 1) & 1 else 1
        position, end = box.content + _FULL_BYTES + 4, min(box.end, len(data))
        while position + id_bytes < end:
            first = position + id_bytes + 1
            following = first + data[first - 1] * index_bytes
            if _number(data, position, id_bytes) == item:
                for place in range(first, min(following, end), index_bytes):
                    yield _number(data, place, index_bytes) & (0x7FFF if index_bytes == 2 else 0x7F)
            position = following
