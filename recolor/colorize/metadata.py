"""Metadata of a photograph, adapted to its coloured version: upright, without thumbnail."""

import io
import logging
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ExifTags, Image

from recolor.colorize.exif import upright_exif
from recolor.images import Decoded
from recolor.images.icc import profile_of_result
from recolor.images.jpeg_header import read_header
from recolor.images.orientation import TRANSPOSED
from recolor.images.pillow import PILLOW_ERRORS, one_line, pillow_warnings_as_errors
from recolor.images.png import SIGNATURE as PNG_SIGNATURE

_EXIF_START = re.compile(rb"^(?:Exif\0\0)+")
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>)\s*)[1-8]")
_APP0, _APP1, _APP13, _COMMENT, _FILL = 0xE0, 0xE1, 0xED, 0xFE, 0xFF  # JPEG markers
_WITHOUT_BODY = (0x01, *range(0xD0, 0xD8))
_EXIF_SEGMENT, _XMP_SEGMENT = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_INCH_UNITS = {1: 1.0, 2: 2.54}
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_XMP_KEY = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "  # ImageMagick's EXIF and XMP as text, which can contain an orientation
# Tags of a TIFF that describe the photograph, below the tags of EXIF, GPS, XMP, IPTC and other makers.
_TIFF_TEXTS = {269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249}
_FIRST_PRIVATE_TAG = 32768
# Private tags that describe the stored pixels: Pillow's offsets, ICC, Photoshop's layers, raw data.
_TIFF_PIXELS = {*range(32995, 33000), 33421, 33422, 34675, 37724}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Metadata that is written into the coloured file.

    Attributes:
        exif: EXIF block from its TIFF header on, with orientation 1 and without thumbnail. For a TIFF, a block made of
            its descriptive tags.
        profile: ICC profile of the result.
        dpi: Horizontal and vertical resolution of the upright picture, in dots per inch.
        xmp: XMP packet with orientation 1.
        photoshop: Bodies of a JPEG's APP13 segments, which contain IPTC.
        comment: Comment of a JPEG.
        texts: Type and content of a PNG's text chunks.
    """

    exif: bytes = b""
    profile: bytes = b""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""
    photoshop: tuple[bytes, ...] = ()
    comment: bytes = b""
    texts: tuple[tuple[bytes, bytes], ...] = ()


@pillow_warnings_as_errors()
def read_metadata(data: bytes, decoded: Decoded) -> Metadata:
    """Reads the metadata of a decoded file; broken parts are dropped, with a log message."""
    data = decoded.tidy or data
    turned = decoded.orientation in TRANSPOSED
    if decoded.format == "JPEG":
        return _read_jpeg(data, turned)
    try:
        with Image.open(io.BytesIO(data), formats=[decoded.format]) as picture:
            return _read_picture(data, picture, turned)
    except PILLOW_ERRORS as error:
        _log.info("the metadata cannot be read and is dropped: %s", one_line(error))
        return Metadata()


def _read_jpeg(data: bytes, turned: bool) -> Metadata:
    """Reads the segments without Pillow.

    Pillow stops at broken EXIF although the other segments are good.
    """
    segments = list(_segments(data))
    exif, xmp = (
        [body.removeprefix(start) for marker, body in segments if marker == _APP1 and body.startswith(start)]
        for start in (_EXIF_SEGMENT, _XMP_SEGMENT)
    )
    return Metadata(
        exif=upright_exif(exif[0]) if exif else b"",
        profile=profile_of_result(read_header(data).profile),
        dpi=next((_dpi(_density(body), turned=turned) for marker, body in segments if marker == _APP0), None),
        xmp=_upright_xmp(xmp[0]) if xmp else b"",
        photoshop=tuple(body for marker, body in segments if marker == _APP13),
        comment=next((body for marker, body in segments if marker == _COMMENT), b""),
    )


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields marker and body of the segments before the first scan.

    The strict decoder has checked them.
    """
    end = read_header(data).scan
    position = 2
    while position < end:
        marker = data[position + 1]
        if marker == _FILL or marker in _WITHOUT_BODY:
            position += 1 if marker == _FILL else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4])
        yield marker, data[position + 4 : position + 2 + length]
        position += 2 + length


def _density(body: bytes) -> tuple[float, ...] | None:
    """Returns the dots per inch of a JFIF segment, or None if it names no unit.

    ITU-T T.871, 10.1.
    """
    factor = _INCH_UNITS.get(body[7]) if body.startswith(b"JFIF\0") and len(body) >= 12 else None
    return None if factor is None else tuple(value * factor for value in struct.unpack_from(">HH", body, 8))


def _upright_xmp(packet: bytes) -> bytes:
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def _read_picture(data: bytes, picture: Image.Image, turned: bool) -> Metadata:
    info = picture.info
    return Metadata(
        exif=_exif(picture),
        profile=profile_of_result(_bytes(info.get("icc_profile"))),
        dpi=_dpi(info.get("dpi"), turned=turned),
        xmp=_upright_xmp(_bytes(info.get("xmp"))),
        texts=tuple(_texts(data)) if data.startswith(PNG_SIGNATURE) else (),
    )


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else b""


def _exif(picture: Image.Image) -> bytes:
    """Returns the EXIF block; for a TIFF, which has none, a block made of its tags."""
    try:
        block = _bytes(picture.info.get("exif")) or _exif_of_tags(picture.getexif())
    except PILLOW_ERRORS as error:
        _log.info("EXIF cannot be read and is dropped: %s", one_line(error))
        return b""
    return upright_exif(_EXIF_START.sub(b"", block))


def _exif_of_tags(exif: Image.Exif) -> bytes:
    for tag in list(exif):
        private = tag >= _FIRST_PRIVATE_TAG and tag not in _TIFF_PIXELS
        if not private and tag not in _TIFF_TEXTS and tag != ExifTags.Base.Orientation:
            del exif[tag]
    return exif.tobytes() if len(exif) else b""


def _dpi(value: object, *, turned: bool) -> tuple[float, float] | None:
    """Returns the resolution across and down the upright picture.

    Returns None if `value` is not two finite numbers above 0.
    """
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    across, down = (float(side) for side in value)
    if not all(math.isfinite(side) and side > 0 for side in (across, down)):
        return None
    return (down, across) if turned else (across, down)


def _texts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the text chunks except XMP and EXIF, which are read separately.

    The decoder has checked the chunks.
    """
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4])
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        if kind in _TEXT_CHUNKS and not body.startswith((_XMP_KEY, _RAW_PROFILE)):
            yield kind, body
        if kind == b"IEND":
            return
        position += 12 + length
