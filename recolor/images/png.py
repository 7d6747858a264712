"""The chunks of a PNG (ISO/IEC 15948): order, number, form and CRC, and that the pixels are all there.

Pillow skips chunks that it does not need, and stops reading when it has its rows.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from recolor.errors import ImageError
from recolor.images.decoded import check_size
from recolor.images.png_bodies import fits
from recolor.images.png_pixels import Layout, check_pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BEFORE_PLTE = frozenset((b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB"))
_BEFORE_IDAT = _BEFORE_PLTE | frozenset(
    (b"PLTE", b"bKGD", b"hIST", b"tRNS", b"pHYs", b"sPLT", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"acTL")
)
_MANY = frozenset((b"IDAT", b"tEXt", b"zTXt", b"iTXt", b"sPLT", b"fcTL", b"fdAT", b"gIFx"))
_ONCE_ANYWHERE = frozenset((b"IHDR", b"IEND", b"tIME", b"eXIf", b"cICP", b"mDCV", b"cLLI", b"dSIG", b"gIFg"))
_KNOWN = _BEFORE_IDAT | _MANY | _ONCE_ANYWHERE


@dataclass(slots=True)
class _Seen:
    """What the chunks have said so far."""

    kinds: set[bytes] = field(default_factory=set)
    last: bytes = b""
    header: bytes = b""
    palette: int = 0
    pixels: bytearray = field(default_factory=bytearray)


def check(data: bytes, max_pixels: int) -> None:
    """Refuses a PNG whose chunks are not what the standard says.

    Raises:
        ImageError: `truncated`, `no_end_marker`, `bad_entropy_data`, `unsupported` or `too_many_pixels`.
    """
    seen = _Seen()
    for kind, body in _chunks(data):
        _check_type(kind)
        _check_order(kind, seen.kinds, seen.last)
        _note(kind, body, seen)
        if not fits(kind, body, seen.header, seen.palette):
            raise ImageError("bad_entropy_data", f"the chunk {kind!r} of {len(body)} bytes does not fit")
        seen.kinds.add(kind)
        seen.last = kind
    if b"IDAT" not in seen.kinds:
        raise ImageError("truncated", "PNG without an IDAT chunk")
    if seen.header[9] == 3 and not seen.palette:
        raise ImageError("bad_entropy_data", "PNG with palette indices and no PLTE chunk")
    layout = Layout.of(seen.header)
    check_size(layout.width_px, layout.height_px, max_pixels)
    check_pixels(layout, seen.pixels)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Type and content of the chunks up to IEND; what follows that is not the picture's."""
    view, position = memoryview(data), len(SIGNATURE)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4])
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise ImageError("truncated", f"the chunk {kind!r} at byte {position} is cut off")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise ImageError("bad_entropy_data", f"CRC of the chunk {kind!r} at byte {position} is wrong")
        yield kind, view[position + 8 : end - 4]
        if kind == b"IEND":
            return
        position = end
    raise ImageError("no_end_marker", "PNG without an IEND chunk")


def _note(kind: bytes, body: memoryview, seen: _Seen) -> None:
    match kind:
        case b"IHDR":
            seen.header = bytes(body)
        case b"PLTE":
            seen.palette = len(body) // 3
        case b"IDAT":
            seen.pixels += body


def _check_type(kind: bytes) -> None:
    """Lower case, by letter: ancillary, private, reserved (must not be), safe to copy (section 5.4).

    An unknown chunk is no error unless it is critical (section 15.2.3): Apple's pictures carry an unregistered iDOT.
    """
    if not kind.isalpha() or kind[2:3].islower():
        raise ImageError("bad_entropy_data", f"no chunk may be called {kind!r}")
    if kind not in _KNOWN and kind[:1].isupper():
        raise ImageError("bad_entropy_data", f"unknown chunk {kind!r}")


def _check_order(kind: bytes, seen: set[bytes], last: bytes) -> None:
    if (kind == b"IHDR") == bool(seen):
        raise ImageError("bad_entropy_data", f"IHDR must come first and once; {kind!r} found")
    if kind in seen and kind in _KNOWN and kind not in _MANY:
        raise ImageError("bad_entropy_data", f"more than one chunk {kind!r}")
    if (kind in _BEFORE_IDAT and b"IDAT" in seen) or (kind in _BEFORE_PLTE and b"PLTE" in seen):
        raise ImageError("bad_entropy_data", f"the chunk {kind!r} comes too late")
    if kind == b"IDAT" and b"IDAT" in seen and last != b"IDAT":
        raise ImageError("bad_entropy_data", "the IDAT chunks do not follow each other")
