"""Encodes coloured pixels and metadata as a JPEG, PNG, WebP, TIFF or BMP file.

PNG and TIFF are assembled here, because Pillow writes no 16-bit colour and OpenCV no metadata.
"""

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from recolor.color.arrays import Pixels, on_white, to_8_bits, to_16_bits
from recolor.colorize.image_resources import iptc, to_segments
from recolor.colorize.metadata import Metadata
from recolor.errors import ImageError
from recolor.images.pillow import PILLOW_ERRORS, one_line
from recolor.images.png import SIGNATURE as PNG_SIGNATURE

Format = Literal["JPEG", "PNG", "WEBP", "TIFF", "BMP"]

FORMATS_16_BIT: tuple[Format, ...] = ("PNG", "TIFF")
_ALPHA_FORMATS: tuple[Format, ...] = ("PNG", "TIFF", "WEBP")
_MAX_SEGMENT_BYTES = 65_000  # a JPEG segment holds 65,533 bytes, including its identifier
_APP13 = b"\xff\xed"

_PNG_HEADER_END = len(PNG_SIGNATURE) + 25  # IHDR always has 13 bytes
_PNG_COMPRESSION = 3  # files within 6% of the smallest size, in half the time
_INCHES_PER_M = 0.0254

_TIFF_HEADER = b"II*\0\x08\0\0\0"
_STRIP_BYTES = 1 << 20
_MAX_TIFF_BYTES = 2**32 - 2**20  # offsets have 32 bits
_DEFLATE = 8
_RGB = 2
_HORIZONTAL_DIFFERENCES = 2
_STRAIGHT_ALPHA = 2
_INCH = 2
_ICC_TAG = 34675
_XMP_TAG = 700
_IPTC_TAG, _RESOURCES_TAG = 33723, 34377
_BYTE, _UNDEFINED = 1, 7  # types of tags

_log = logging.getLogger(__name__)


def encode(rgb: Pixels, alpha: Pixels | None, metadata: Metadata, file_format: Format, quality: int) -> bytes:
    """Returns the bytes of an image file.

    Args:
        rgb: Upright sRGB [H, W, 3], uint8; uint16 is allowed for `FORMATS_16_BIT`.
        alpha: Straight alpha [H, W], uint8 or uint16, or None. A format without alpha gets the picture on white.
        metadata: Written into the file as far as the format allows; see `Metadata.held_by`.
        file_format: Format of the file.
        quality: Quality of JPEG and WebP, 1..100.

    Raises:
        ImageError: `unsupported`: the picture is too large for the format.
    """
    metadata = metadata.held_by(file_format)
    if alpha is not None:
        alpha = to_8_bits(alpha) if rgb.dtype == np.uint8 else to_16_bits(alpha)
        if file_format not in _ALPHA_FORMATS:
            rgb, alpha = on_white(rgb, alpha), None
    pixels: Pixels = rgb if alpha is None else np.concatenate((rgb, alpha[..., None]), axis=2)
    match file_format:
        case "PNG":
            return _encode_png(pixels, metadata)
        case "TIFF":
            return _encode_tiff(pixels, metadata)
        case "JPEG":
            return _encode_jpeg(pixels, metadata, quality)
        case "WEBP":
            chunks = {"exif": metadata.exif, "icc_profile": metadata.profile, "xmp": metadata.xmp}
            return _save(pixels, "WEBP", quality=quality, **chunks)
        case "BMP":
            return _save(pixels, "BMP", **({} if metadata.dpi is None else {"dpi": metadata.dpi}))


def _encode_jpeg(pixels: Pixels, metadata: Metadata, quality: int) -> bytes:
    """Encodes with chroma at full resolution (4:4:4): colour is what this package adds."""
    options: dict[str, Any] = {"icc_profile": metadata.profile or None}
    options.update((name, value) for name, value in (("dpi", metadata.dpi), ("comment", metadata.comment)) if value)
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    plain = _save(pixels, "JPEG", quality=quality, subsampling=0, **options)
    start = 4 + int.from_bytes(plain[4:6])  # after the JFIF segment, which comes first
    bodies = to_segments(metadata.resources, _MAX_SEGMENT_BYTES)
    segments = (_APP13 + (len(body) + 2).to_bytes(2) + body for body in bodies)
    return b"".join((plain[:start], *segments, plain[start:]))


def _save(pixels: Pixels, file_format: Format, **options: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, file_format, **options)
    except (OSError, ValueError) as error:
        raise ImageError("unsupported", f"cannot be written as {file_format}: {error}") from error
    return buffer.getvalue()


def _encode_png(pixels: Pixels, metadata: Metadata) -> bytes:
    """Encodes as PNG (ISO/IEC 15948), with the metadata as chunks before the pixels.

    Args:
        pixels: sRGB [H, W, 3], or with straight alpha [H, W, 4]; uint8 or uint16.
        metadata: Becomes the chunks.

    Raises:
        ImageError: `unsupported`: the picture is too large for PNG.
    """
    swapped = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    try:
        written, data = cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION])
    except cv2.error as error:
        raise ImageError("unsupported", f"cannot be written as PNG: {error}") from error
    if not written:
        raise ImageError("unsupported", "cannot be written as PNG")
    plain = data.tobytes()
    chunks = (_png_chunk(*chunk) for chunk in _png_chunks(metadata))
    return b"".join((plain[:_PNG_HEADER_END], *chunks, plain[_PNG_HEADER_END:]))


def _png_chunks(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    """Yields the type and content of each chunk, in an order that the standard allows."""
    if metadata.profile:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.profile)
    if metadata.dpi is not None:
        yield b"pHYs", struct.pack(">IIB", *(_dots_per_metre(dpi) for dpi in metadata.dpi), 1)
    if metadata.exif:
        yield b"eXIf", metadata.exif
    if metadata.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp
    if metadata.resources:  # a PNG has no place of its own for IPTC; this is ImageMagick's, which others read too
        digits = metadata.resources.hex().encode()
        lines = b"\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
        text = b"\niptc\n%8d\n%b\n" % (len(metadata.resources), lines)
        yield b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text)
    yield from metadata.texts


def _dots_per_metre(dpi: float) -> int:
    return min(2**31 - 1, round(dpi / _INCHES_PER_M))


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _encode_tiff(pixels: Pixels, metadata: Metadata) -> bytes:
    """Encodes as TIFF 6.0: deflated strips of horizontal differences (section 14).

    Pillow makes the tags.

    Args:
        pixels: sRGB [H, W, 3], or with straight alpha [H, W, 4]; uint8 or uint16.
        metadata: Becomes tags. EXIF that cannot be written as tags is dropped, with a log message.

    Raises:
        ImageError: `unsupported`: the picture is too large for TIFF.
    """
    rows = max(1, _STRIP_BYTES // pixels[:1].nbytes)
    strips = [_tiff_strip(pixels[top : top + rows]) for top in range(0, pixels.shape[0], rows)]
    sizes = [len(strip) for strip in strips]
    if sum(sizes) > _MAX_TIFF_BYTES:
        raise ImageError("unsupported", f"cannot be written as TIFF: {sum(sizes)} bytes")
    try:
        tags = _tiff_directory(pixels, metadata, _exif_tags(metadata.exif), rows, sizes)
    except PILLOW_ERRORS as error:
        _log.info("EXIF cannot be written as tags and is dropped: %s", one_line(error))
        tags = _tiff_directory(pixels, metadata, {}, rows, sizes)
    return b"".join((_TIFF_HEADER, tags, *strips))


def _tiff_strip(pixels: Pixels) -> bytes:
    differences = pixels.astype(pixels.dtype.newbyteorder("<"))
    differences[:, 1:] -= pixels[:, :-1]
    return zlib.compress(differences.tobytes())


def _exif_tags(block: bytes) -> dict[int, Any]:
    """Returns the tags and directories of an EXIF block."""
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


def _tiff_directory(
    pixels: Pixels, metadata: Metadata, exif_tags: dict[int, Any], rows: int, strip_bytes: list[int]
) -> bytes:
    """Returns the tag directory, which begins at byte 8; the strips follow it."""
    height_px, width_px, channels = pixels.shape
    tags = ImageFileDirectory_v2(_TIFF_HEADER)
    for tag, value in exif_tags.items():
        tags[tag] = value
    base = ExifTags.Base
    tags[base.ImageWidth], tags[base.ImageLength] = width_px, height_px
    tags[base.BitsPerSample] = (pixels.itemsize * 8,) * channels
    tags[base.Compression] = _DEFLATE
    tags[base.PhotometricInterpretation] = _RGB
    tags[base.SamplesPerPixel], tags[base.RowsPerStrip] = channels, rows
    starts = np.cumsum([0, *strip_bytes[:-1]]).tolist()
    tags.tagtype[base.StripOffsets] = tags.tagtype[base.StripByteCounts] = 4  # LONG
    # Offsets are relative to the end of the directory: Pillow adds its length.
    tags[base.StripOffsets], tags[base.StripByteCounts] = tuple(starts), tuple(strip_bytes)
    tags[base.Predictor] = _HORIZONTAL_DIFFERENCES
    tags[base.Orientation] = 1
    if channels == 4:
        tags[base.ExtraSamples] = _STRAIGHT_ALPHA
    if metadata.profile:
        tags[_ICC_TAG] = metadata.profile
    if metadata.xmp:
        tags[_XMP_TAG] = metadata.xmp
    if metadata.resources:
        tags.tagtype[_RESOURCES_TAG] = _BYTE
        tags[_RESOURCES_TAG] = metadata.resources
    if own_iptc := iptc(metadata.resources):
        tags.tagtype[_IPTC_TAG] = _UNDEFINED
        tags[_IPTC_TAG] = own_iptc
    if metadata.dpi is not None:
        tags[base.XResolution], tags[base.YResolution] = metadata.dpi
        tags[base.ResolutionUnit] = _INCH
    return tags.tobytes(len(_TIFF_HEADER))
