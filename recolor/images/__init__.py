"""Read and decode strictly: every image becomes upright sRGB pixels, or gets a typed reason why not."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import bmp, gif, heif, jpeg, png, tiff, webp
from recolor.images.decoded import Decoded
from recolor.images.lenient import decode_damaged
from recolor.images.opencv import NO_MEMORY, one_opencv_thread, opencv_memory_errors
from recolor.images.other_files import describe
from recolor.images.pillow import from_picture, pillow_warnings_as_errors

__all__ = ["NO_MEMORY", "Decoded", "decode", "from_picture", "one_opencv_thread", "opencv_memory_errors", "read_bytes"]


def read_bytes(path: Path, limits: MeasureConfig) -> bytes:
    """Reads a file, never more of it than is allowed.

    Args:
        path: A regular file; anything else (a pipe would block for ever) is refused.
        limits: Its `max_file_bytes` bounds the memory.

    Raises:
        ImageError: `unreadable` (gone, no permission, not a file, I/O error) or `too_many_bytes`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise ImageError("unreadable", getattr(error, "strerror", None) or str(error)) from error
    try:
        return _read(descriptor, limits.max_file_bytes)
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from error
    finally:
        os.close(descriptor)


def _read(descriptor: int, max_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("unreadable", "not a regular file")
    if status.st_size > max_bytes:
        raise ImageError("too_many_bytes", f"{status.st_size} bytes; `measure.max_file_bytes` allows {max_bytes}")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(status.st_size + 1)  # not `max_bytes`: that much would be set aside first


def decode(data: bytes, limits: MeasureConfig, min_side_px: int | None = None, *, lenient: bool = False) -> Decoded:
    """Decodes an image strictly: what a tolerant decoder would only warn about is a verdict here.

    The first frame of animations is taken, EXIF orientation applied, and ICC profiles and other descriptions of colours
    are converted to sRGB. A file that is not in order, but of which no pixel is lost, is decoded, with notes.

    Args:
        data: The bytes of a JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or (with the extra `heif`) HEIC file; the content
            decides, not the name.
        limits: Its `max_pixels` is checked against the header, before anything is decoded.
        min_side_px: If given, a JPEG may come scaled by 1/2, 1/4 or 1/8, as long as its short side keeps at least this
            many pixels. Its whole entropy stream is parsed all the same.
        lenient: Whether what is left of a damaged JPEG, PNG or BMP is decoded, with the damage as a note.

    Raises:
        ImageError: With one of `errors.DECODE_REASONS` and what the decoder said. `unreadable` with `NO_MEMORY` is no
            verdict on the file.
    """
    if not data:
        raise ImageError("empty", "the file has no bytes")
    try:
        try:
            return _decode(data, limits.max_pixels, min_side_px)
        except ImageError as error:
            if not lenient:
                raise
            return decode_damaged(data, limits.max_pixels, error)
    except MemoryError as error:
        raise ImageError("unreadable", NO_MEMORY) from error


def _decode(data: bytes, max_pixels: int, min_side_px: int | None) -> Decoded:
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.decode(data, max_pixels, min_side_px)
    return _decode_with_pillow(data, max_pixels)


@pillow_warnings_as_errors()
def _decode_with_pillow(data: bytes, max_pixels: int) -> Decoded:
    for signatures, decoder in _DECODERS:
        if data.startswith(signatures):
            return decoder(data, max_pixels)
    if webp.is_webp(data):
        return webp.decode(data, max_pixels)
    if heif.is_heif(data):
        return heif.decode(data, max_pixels)
    raise ImageError("not_an_image", describe(data))


_DECODERS: tuple[tuple[tuple[bytes, ...], Callable[[bytes, int], Decoded]], ...] = (
    ((png.SIGNATURE,), png.decode),
    (tiff.SIGNATURES, tiff.decode),
    (gif.SIGNATURES, gif.decode),
    ((bmp.SIGNATURE,), bmp.decode),
)
