"""PNG (ISO/IEC 15948) of 8 or 16 bits a channel, with what shall be kept as chunks before the pixels."""

import struct
import zlib
from collections.abc import Iterator

import cv2

from recolor.color.depth import Pixels
from recolor.colorize.metadata import Kept
from recolor.errors import ImageError
from recolor.images.png import SIGNATURE

_HEADER_END = len(SIGNATURE) + 25  # IHDR always has 13 bytes
_COMPRESSION = 3  # within 6% of the smallest, in half of its time
_INCHES_PER_M = 0.0254


def encode_png(pixels: Pixels, kept: Kept) -> bytes:
    """The file's bytes.

    Args:
        pixels: sRGB [H, W, 3], or with straight alpha [H, W, 4].
        kept: What goes beside the pixels.

    Raises:
        ImageError: `unsupported`: PNG has no room for it.
    """
    swapped = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    try:
        written, data = cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
    except cv2.error as error:
        raise ImageError("unsupported", f"cannot be written as PNG: {error}") from error
    if not written:
        raise ImageError("unsupported", "cannot be written as PNG")
    plain = data.tobytes()
    return b"".join((plain[:_HEADER_END], *(_chunk(*chunk) for chunk in _chunks(kept)), plain[_HEADER_END:]))


def _chunks(kept: Kept) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each chunk, in an order that the standard allows."""
    if kept.profile:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(kept.profile)
    if kept.dpi is not None:
        yield b"pHYs", struct.pack(">IIB", *(_per_metre(dpi) for dpi in kept.dpi), 1)
    if kept.exif:
        yield b"eXIf", kept.exif
    if kept.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + kept.xmp
    yield from kept.texts


def _per_metre(dpi: float) -> int:
    return min(2**31 - 1, round(dpi / _INCHES_PER_M))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
