"""The chunks of a PNG (ISO/IEC 15948): order, number, length and CRC. Pillow skips what it does not need."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from recolor.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = frozenset([b"IHDR", b"PLTE", b"IDAT", b"IEND"])
_MANY = frozenset([b"IDAT", b"tEXt", b"zTXt", b"iTXt", b"sPLT", b"fcTL", b"fdAT"])
_KNOWN = _CRITICAL | _MANY | frozenset(
    [b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"bKGD", b"hIST", b"tRNS", b"pHYs", b"tIME", b"eXIf", b"acTL"]
    + [b"oFFs", b"pCAL", b"sCAL", b"gIFg", b"gIFx", b"sTER", b"cICP", b"mDCV", b"cLLI", b"dSIG", b"gIFt", b"fRAc"]
)  # fmt: skip
_BEFORE_PLTE = frozenset([b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB"])
_BEFORE_IDAT = _BEFORE_PLTE | frozenset(
    [b"PLTE", b"bKGD", b"hIST", b"tRNS", b"pHYs", b"sPLT", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"acTL", b"eXIf"]
) - {b"eXIf"}  # fmt: skip
_LENGTHS = {b"IHDR": 13, b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, b"pHYs": 9, b"tIME": 7, b"oFFs": 9, b"sTER": 1}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: its four-letter type and its content."""

    kind: bytes
    body: bytes


def check(data: bytes) -> None:
    """Refuses a PNG whose chunks are not what the standard says.

    Raises:
        ImageError: `truncated`, `no_end_marker` or `bad_entropy_data`, with the chunk that is wrong.
    """
    seen: list[bytes] = []
    palette = 0
    colour_type = -1
    for chunk in _chunks(data):
        _check_type(chunk.kind)
        _check_order(chunk.kind, seen)
        if chunk.kind == b"IHDR" and len(chunk.body) == 13:
            colour_type = chunk.body[9]
        if chunk.kind == b"PLTE":
            palette = len(chunk.body) // 3
        _check_length(chunk, colour_type, palette)
        seen.append(chunk.kind)
    if b"IDAT" not in seen:
        raise ImageError("truncated", "PNG without an IDAT chunk")


def _chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks up to IEND; what follows that is not the picture's."""
    position = len(SIGNATURE)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4])
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise ImageError("truncated", f"the chunk {kind!r} at byte {position} is cut off")
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise ImageError("bad_entropy_data", f"CRC of the chunk {kind!r} at byte {position} is wrong")
        yield Chunk(kind, data[position + 8 : end - 4])
        if kind == b"IEND":
            return
        position = end
    raise ImageError("no_end_marker", "PNG without an IEND chunk")


def _check_type(kind: bytes) -> None:
    """Lower case, by letter: ancillary, private, reserved (must not be), safe to copy (section 5.4)."""
    if not kind.isalpha() or kind[2:3].islower():
        raise ImageError("bad_entropy_data", f"no chunk may be called {kind!r}")
    private = kind[1:2].islower()
    if kind not in _KNOWN and (kind[:1].isupper() or not private):
        raise ImageError("bad_entropy_data", f"unknown chunk {kind!r}")


def _check_order(kind: bytes, seen: list[bytes]) -> None:
    if (kind == b"IHDR") == bool(seen):
        raise ImageError("bad_entropy_data", f"IHDR must come first and once; {kind!r} found")
    if kind in seen and kind in _KNOWN and kind not in _MANY:
        raise ImageError("bad_entropy_data", f"more than one chunk {kind!r}")
    if kind in _BEFORE_IDAT and b"IDAT" in seen or kind in _BEFORE_PLTE and b"PLTE" in seen:
        raise ImageError("bad_entropy_data", f"the chunk {kind!r} comes too late")
    if kind == b"IDAT" and b"IDAT" in seen and seen[-1] != b"IDAT":
        raise ImageError("bad_entropy_data", "the IDAT chunks do not follow each other")


def _check_length(chunk: Chunk, colour_type: int, palette: int) -> None:
    size = len(chunk.body)
    wrong = size != _LENGTHS.get(chunk.kind, size)
    match chunk.kind:
        case b"PLTE":
            wrong = colour_type in (0, 4) or size % 3 != 0 or not 1 <= palette <= 256
        case b"tRNS":
            wrong = colour_type in (4, 6) or (colour_type == 3 and size > palette)
        case b"hIST":
            wrong = size != 2 * palette
    if wrong:
        raise ImageError("bad_entropy_data", f"the chunk {chunk.kind!r} of {size} bytes does not fit")
