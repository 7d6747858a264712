"""GIF (GIF89a specification, CompuServe 1990): whether the pixels of the first frame are all there.

GIF has no checksums, and decoders stop when they have enough pixels. The codes of an intact frame stand for exactly as
many pixels as it has; those of a damaged one hardly ever do.
"""

from dataclasses import dataclass, replace

import numpy as np

from recolor.color.arrays import Pixels
from recolor.errors import ImageError
from recolor.images.decoded import Decoded, check_size
from recolor.images.pillow import open_picture, read_picture

SIGNATURES = (b"GIF87a", b"GIF89a")
_HEADER_BYTES = 13
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_MAX_BITS = 12
_OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Frame:
    """The first frame: place, size, number of colours, bits of its smallest codes, packed codes, and where it ends."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int
    colours: int
    bits: int
    codes: bytes
    end: int


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decodes the first frame; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason.
    """
    frame = _first_frame(data, max_pixels)
    decoded = read_picture(open_picture(data, "GIF"), max_pixels)
    notes = _check_codes(frame)
    if frame.end >= len(data):
        notes += ("no end marker",)
    return replace(decoded, alpha=_alpha(decoded, frame), notes=notes)


def _alpha(decoded: Decoded, frame: Frame) -> Pixels | None:
    """Returns alpha that is 0 where the screen goes beyond the first frame: viewers show no background colour there."""
    inside = np.zeros(decoded.pixels.shape[:2], np.uint8)
    inside[frame.top_px : frame.top_px + frame.height_px, frame.left_px : frame.left_px + frame.width_px] = _OPAQUE
    if inside.all():
        return decoded.alpha
    return inside if decoded.alpha is None else np.minimum(inside, decoded.alpha)


def _first_frame(data: bytes, max_pixels: int) -> Frame:
    """Walks the blocks up to the first image.

    Raises:
        ImageError: `truncated` if the file ends before its pixels do, `bad_entropy_data` if a block cannot be;
            `too_many_pixels`.
    """
    _byte(data, _HEADER_BYTES - 1)
    check_size(_word(data, 6), _word(data, 8), max_pixels)
    position, shared = _HEADER_BYTES + _palette_bytes(data, 10), _palette_bytes(data, 10) // 3
    while (kind := _byte(data, position)) == _EXTENSION:
        position, _ = _sub_blocks(data, position + 2)
    if kind != _IMAGE:
        what = "no image" if kind == _TRAILER else f"no block begins with {kind}"
        raise ImageError("bad_entropy_data", f"byte {position}: {what}")
    _byte(data, position + 10)
    left_px, top_px, width_px, height_px = (_word(data, position + offset) for offset in (1, 3, 5, 7))
    check_size(width_px, height_px, max_pixels)
    own = _palette_bytes(data, position + 9)
    position += 10 + own
    bits = _byte(data, position)
    end, codes = _sub_blocks(data, position + 1)
    return Frame(left_px, top_px, width_px, height_px, own // 3 or shared, bits, codes, end)


def _byte(data: bytes, position: int) -> int:
    if position >= len(data):
        raise ImageError("truncated", f"{len(data)} bytes, and the first image is not complete")
    return data[position]


def _word(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 2], "little")


def _palette_bytes(data: bytes, position: int) -> int:
    """Returns the size of the colour table that this byte of flags announces."""
    flags = _byte(data, position)
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _sub_blocks(data: bytes, position: int) -> tuple[int, bytes]:
    """Returns the end of a sequence of sub-blocks and their content; the last one may lack its terminator."""
    parts = []
    while position < len(data) and (size := data[position]):
        parts.append(data[position + 1 : position + 1 + size])
        position += 1 + size
    return position + 1, b"".join(parts)


def _check_codes(frame: Frame) -> tuple[str, ...]:
    """Follows the codes (variable-length LZW, appendix F), counting pixels; returns notes.

    Raises:
        ImageError: `truncated` if pixels are missing, `bad_entropy_data` if there are more than the frame has, if a
            code stands for nothing or a colour is not in the palette.
    """
    if not 1 <= frame.bits < _MAX_BITS:
        raise ImageError("bad_entropy_data", f"codes of {frame.bits} bits")
    expected = frame.width_px * frame.height_px
    count, highest, ended = _follow(frame, expected)
    if count < expected:
        raise ImageError("bad_entropy_data" if ended else "truncated", f"{count} of {expected} pixels")
    if count > expected:
        raise ImageError("bad_entropy_data", f"codes for {count} pixels, the frame has {expected}")
    if highest >= frame.colours > 0:
        raise ImageError("bad_entropy_data", f"the colour {highest} of {frame.colours} colours, counted from 0")
    return () if ended else ("no end code behind the pixels",)


def _follow(frame: Frame, expected: int) -> tuple[int, int, bool]:
    """Returns the number of pixels, the highest colour, and whether the end code was met."""
    clear = 1 << frame.bits
    lengths, highest = [1] * clear + [0, 0], [*range(clear), 0, 0]
    first = [*range(clear), 0, 0]
    width, previous = frame.bits + 1, -1
    count, top, buffer, available = 0, 0, 0, 0
    for byte in frame.codes:
        buffer |= byte << available
        available += 8
        while available >= width:
            code = buffer & (1 << width) - 1
            buffer >>= width
            available -= width
            if code == clear:
                del lengths[clear + 2 :], highest[clear + 2 :], first[clear + 2 :]
                width, previous = frame.bits + 1, -1
                continue
            if code == clear + 1:
                return count, top, True
            if code > len(lengths) or (code == len(lengths) and previous < 0):
                raise ImageError("bad_entropy_data", f"a code stands for nothing at pixel {count} of {expected}")
            if previous >= 0 and len(lengths) < 1 << _MAX_BITS:
                start = first[previous if code == len(lengths) else code]
                lengths.append(lengths[previous] + 1)
                highest.append(max(highest[previous], start))
                first.append(first[previous])
                if len(lengths) == 1 << width and width < _MAX_BITS:
                    width += 1
            elif code == len(lengths):
                raise ImageError("bad_entropy_data", f"a code stands for nothing at pixel {count} of {expected}")
            count += lengths[code]
            top = max(top, highest[code])
            previous = code
            if count > expected:
                return count, top, False
    return count, top, False
