"""TIFF 6.0 of 8 or 16 bits a channel. Pillow makes the tags; it writes no 16-bit colour."""

import logging
import zlib
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from recolor.color.depth import Pixels
from recolor.colorize.metadata import Kept
from recolor.errors import ImageError
from recolor.images.pillow import PILLOW_ERRORS, one_line

_HEADER = b"II*\0\x08\0\0\0"
_STRIP_BYTES = 1 << 20
_MOST_BYTES = 2**32 - 2**20  # offsets have 32 bits
_DEFLATE = 8
_RGB = 2
_HORIZONTAL_DIFFERENCES = 2
_STRAIGHT_ALPHA = 2
_INCH = 2
_ICC_TAG = 34675
_XMP_TAG = 700

_log = logging.getLogger(__name__)


def encode_tiff(pixels: Pixels, kept: Kept) -> bytes:
    """The file's bytes: strips of horizontal differences (TIFF 6.0, section 14), deflated.

    Args:
        pixels: sRGB [H, W, 3], or with straight alpha [H, W, 4].
        kept: What goes beside the pixels.

    Raises:
        ImageError: `unsupported`: more than TIFF has room for.
    """
    rows = max(1, _STRIP_BYTES // pixels[:1].nbytes)
    strips = [_strip(pixels[top : top + rows]) for top in range(0, pixels.shape[0], rows)]
    sizes = [len(strip) for strip in strips]
    if sum(sizes) > _MOST_BYTES:
        raise ImageError("unsupported", f"cannot be written as TIFF: {sum(sizes)} bytes")
    try:
        tags = _tags(pixels, kept, _described(kept.exif), rows, sizes)
    except PILLOW_ERRORS as error:
        _log.info("EXIF cannot be written as tags, and is not kept: %s", one_line(error))
        tags = _tags(pixels, kept, {}, rows, sizes)
    return b"".join((_HEADER, tags, *strips))


def _strip(pixels: Pixels) -> bytes:
    differences = pixels.astype(pixels.dtype.newbyteorder("<"))
    differences[:, 1:] -= pixels[:, :-1]
    return zlib.compress(differences.tobytes())


def _described(block: bytes) -> dict[int, Any]:
    """Tags and directories of an EXIF block."""
    if not block:
        return {}
    exif = Image.Exif()
    exif.load(block)
    tags = {int(tag): value for tag, value in exif.items()}
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if directory in tags:
            tags[directory] = dict(exif.get_ifd(directory))
    if ExifTags.IFD.Interop in tags.get(ExifTags.IFD.Exif, {}):
        tags[ExifTags.IFD.Exif][ExifTags.IFD.Interop] = dict(exif.get_ifd(ExifTags.IFD.Interop))
    return tags


def _tags(pixels: Pixels, kept: Kept, described: dict[int, Any], rows: int, strip_bytes: list[int]) -> bytes:
    """The directory, at byte 8; the strips follow it."""
    height_px, width_px, channels = pixels.shape
    tags = ImageFileDirectory_v2(_HEADER)
    for tag, value in described.items():
        tags[tag] = value
    base = ExifTags.Base
    tags[base.ImageWidth], tags[base.ImageLength] = width_px, height_px
    tags[base.BitsPerSample] = (pixels.itemsize * 8,) * channels
    tags[base.Compression] = _DEFLATE
    tags[base.PhotometricInterpretation] = _RGB
    tags[base.SamplesPerPixel], tags[base.RowsPerStrip] = channels, rows
    starts = np.cumsum([0, *strip_bytes[:-1]]).tolist()
    tags.tagtype[base.StripOffsets] = tags.tagtype[base.StripByteCounts] = 4  # LONG; relative: Pillow adds its own end
    tags[base.StripOffsets], tags[base.StripByteCounts] = tuple(starts), tuple(strip_bytes)
    tags[base.Predictor] = _HORIZONTAL_DIFFERENCES
    tags[base.Orientation] = 1
    if channels == 4:
        tags[base.ExtraSamples] = _STRAIGHT_ALPHA
    if kept.profile:
        tags[_ICC_TAG] = kept.profile
    if kept.xmp:
        tags[_XMP_TAG] = kept.xmp
    if kept.dpi is not None:
        tags[base.XResolution], tags[base.YResolution] = kept.dpi
        tags[base.ResolutionUnit] = _INCH
    return tags.tobytes(len(_HEADER))
