"""Coloured pixels as the bytes of a file: JPEG, PNG, WebP, TIFF or BMP."""

import io
import logging
from typing import Any, Literal

import numpy as np
from PIL import Image

from recolor.color.depth import Pixels, on_white, to_8_bits, to_16_bits
from recolor.colorize.metadata import Kept
from recolor.colorize.png import encode_png
from recolor.colorize.tiff import encode_tiff
from recolor.errors import ImageError

Format = Literal["JPEG", "PNG", "WEBP", "TIFF", "BMP"]

DEEP_FORMATS: tuple[Format, ...] = ("PNG", "TIFF")
_ALPHA_FORMATS: tuple[Format, ...] = ("PNG", "TIFF", "WEBP")
_MOST_OF_A_SEGMENT = 65_000  # bytes; a JPEG segment holds 65,533 with its own head

_log = logging.getLogger(__name__)


def encode(rgb: Pixels, alpha: Pixels | None, kept: Kept, file_format: Format, quality: int) -> bytes:
    """The bytes of a file.

    Args:
        rgb: Upright sRGB [H, W, 3]; 16 bits for `DEEP_FORMATS` only.
        alpha: Straight alpha [H, W] of 8 or 16 bits, or None. On white where the format has none.
        kept: What goes beside the pixels.
        file_format: Which one.
        quality: Of JPEG and WebP, 1..100.

    Raises:
        ImageError: `unsupported`: the format has no room for a picture of this size.
    """
    if alpha is not None:
        alpha = to_8_bits(alpha) if rgb.dtype == np.uint8 else to_16_bits(alpha)
        if file_format not in _ALPHA_FORMATS:
            rgb, alpha = on_white(rgb, alpha), None
    pixels: Pixels = rgb if alpha is None else np.concatenate((rgb, alpha[..., None]), axis=2)
    match file_format:
        case "PNG":
            return encode_png(pixels, kept)
        case "TIFF":
            return encode_tiff(pixels, kept)
        case "JPEG":
            return _encode_jpeg(pixels, kept, quality)
        case "WEBP":
            return _save(pixels, "WEBP", quality=quality, exif=kept.exif, icc_profile=kept.profile, xmp=kept.xmp)
        case "BMP":
            return _save(pixels, "BMP", **({} if kept.dpi is None else {"dpi": kept.dpi}))


def _encode_jpeg(pixels: Pixels, kept: Kept, quality: int) -> bytes:
    """4:4:4, as colour is what is new."""
    beside: dict[str, Any] = {"icc_profile": kept.profile or None}
    beside.update((name, value) for name, value in (("dpi", kept.dpi), ("comment", kept.comment)) if value)
    for name, value in (("exif", kept.exif), ("xmp", kept.xmp)):
        if len(value) > _MOST_OF_A_SEGMENT:
            _log.info("%s of %d bytes has no room in a JPEG, and is not kept", name, len(value))
        elif value:
            beside[name] = b"Exif\0\0" + value if name == "exif" else value
    plain = _save(pixels, "JPEG", quality=quality, subsampling=0, **beside)
    start = 4 + int.from_bytes(plain[4:6])  # after the JFIF segment, which comes first
    segments = (b"\xff\xed" + (len(body) + 2).to_bytes(2) + body for body in kept.photoshop)
    return b"".join((plain[:start], *segments, plain[start:]))


def _save(pixels: Pixels, file_format: Format, **options: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, file_format, **options)
    except (OSError, ValueError) as error:
        raise ImageError("unsupported", f"cannot be written as {file_format}: {error}") from error
    return buffer.getvalue()
