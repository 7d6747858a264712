"""Reads the metadata of a photograph's file as it stands there, and what else the file holds beside its picture.

No pixel is decoded again. JPEG, PNG, TIFF and BMP are read here: Pillow stops at broken EXIF although the rest is good,
decodes a PNG to find what comes behind its pixels, and refuses TIFFs and BMPs whose pixels it does not know.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ExifTags, Image

from recolor.colorize.image_resources import from_segments, iptc, resource_of_iptc
from recolor.images.heif import open_heic
from recolor.images.heif_boxes import boxes
from recolor.images.jpeg_header import read_header, scans
from recolor.images.orientation import valid_orientation
from recolor.images.pillow import PILLOW_ERRORS, open_picture
from recolor.images.png import SIGNATURE as PNG_SIGNATURE

MOTION_PHOTO, GAIN_MAP, DEPTH = "the video of a motion photo", "the gain map (HDR)", "the depth map"
FURTHER_PICTURES, EXTENDED_XMP = "further pictures", "extended XMP"
BROKEN_EXIF = "EXIF that cannot be read"
CREDENTIALS = "content credentials (C2PA)"  # a signature of bytes that are no longer there

_APP0, _APP1, _APP2, _APP11, _APP13, _COMMENT, _FILL = 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xFE, 0xFF  # JPEG markers
_WITHOUT_BODY = (0x01, *range(0xD0, 0xD8))
_EXIF_SEGMENT, _XMP_SEGMENT = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP_SEGMENT, _MPF_SEGMENT = b"http://ns.adobe.com/xmp/extension/\0", b"MPF\0"
_GAIN_MAP_SEGMENT = b"urn:iso:std:iso:ts:21496:-1\0"
_EXIF_START = re.compile(rb"^(?:Exif\0\0)+")
_VIDEO = re.compile(rb"\0\0\0[\x08-\xff]ftyp[\w ]{4}")  # the first box of an MP4
_PICTURE = b"\xff\xd8\xff"
_OF_GAIN_MAP = re.compile(rb"hdrgainmap|hdr-gain-map|ts:21496|tmap")
_OF_DEPTH = re.compile(rb"hevc:2015:auxid:2|aux:depth|aux:disparity")
_INCH_UNITS = {1: 1.0, 2: 2.54}  # of a JFIF segment
_TIFF_INCH_UNITS = {2: 1.0, 3: 2.54, None: 1.0}
_INCHES_PER_M = 0.0254
_BMP_HEADER_BYTES = 40  # of the first kind that has a resolution

_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_XMP_KEY = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "  # ImageMagick's EXIF, XMP and IPTC as hexadecimal text
_MAX_INFLATED_BYTES = 1 << 26

# Tags of a TIFF that describe the photograph, below the tags of EXIF, GPS and other makers.
_TIFF_TEXTS = {269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249}
_FIRST_PRIVATE_TAG = 32768
_XMP_TAG, _IPTC_TAG, _RESOURCES_TAG, _ICC_TAG = 700, 33723, 34377, 34675
# Private tags that describe the stored pixels, Pillow's offsets, Photoshop's layers and raw data, or are read by name.
_TIFF_OTHERS = {*range(32995, 33000), 33421, 33422, 37724, _IPTC_TAG, _RESOURCES_TAG, _ICC_TAG}


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Metadata as a file holds it, about the picture as it is stored.

    Attributes:
        exif: EXIF block from its TIFF header on; for a TIFF, a block made of its descriptive tags.
        profile: ICC profile.
        dpi: Resolution across and down the stored picture, in dots per inch; not checked.
        xmp: XMP packet.
        resources: Photoshop's image resources, which hold IPTC.
        comment: Comment of a JPEG.
        texts: Type and content of a PNG's text chunks.
        others: Names of what else the file holds, such as `MOTION_PHOTO`.
        orientation: Orientation, 1..8, that the decoder of HEIC applied on its own, and does not leave in EXIF.
    """

    exif: bytes = b""
    profile: bytes = b""
    dpi: object = None
    xmp: bytes = b""
    resources: bytes = b""
    comment: bytes = b""
    texts: tuple[tuple[bytes, bytes], ...] = ()
    others: tuple[str, ...] = ()
    orientation: int = 1


def read_embedded(data: bytes, tidy: bytes, file_format: str) -> Embedded:
    """Reads the metadata of a file that has been decoded.

    Args:
        data: The file.
        tidy: The file, with what is not in order in it corrected; see `Decoded.tidy`.
        file_format: As in `Decoded.format`.

    Raises:
        PILLOW_ERRORS: Metadata that Pillow reads are damaged.
    """
    if file_format == "JPEG":
        return _read_jpeg(data, tidy)
    if file_format == "PNG":
        return _read_png(tidy)
    if file_format == "TIFF":
        return _read_tiff(tidy)
    if file_format == "BMP":
        return Embedded(dpi=_density_of_bmp(tidy))
    # HEIC is not registered with Pillow, which is the host program's.
    with open_heic(tidy) if file_format == "HEIF" else open_picture(tidy, file_format) as picture:
        return Embedded(
            exif=_EXIF_START.sub(b"", _bytes(picture.info.get("exif"))),
            profile=_bytes(picture.info.get("icc_profile")),
            dpi=picture.info.get("dpi"),
            xmp=_bytes(picture.info.get("xmp")),
            others=_others_of_heif(data) if file_format in ("HEIF", "AVIF") else (),
            orientation=valid_orientation(picture.info.get("original_orientation")),
        )


def _density_of_bmp(data: bytes) -> tuple[float, ...] | None:
    """Returns the dots per inch of a BMP, or None if its header is of a kind that has none."""
    if int.from_bytes(data[14:18], "little") < _BMP_HEADER_BYTES:
        return None
    return tuple(dots * _INCHES_PER_M for dots in struct.unpack_from("<ii", data, 38))


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else b""


def _read_jpeg(data: bytes, tidy: bytes) -> Embedded:
    segments = list(_segments(tidy))
    exif, xmp = (
        [body.removeprefix(start) for marker, body in segments if marker == _APP1 and body.startswith(start)]
        for start in (_EXIF_SEGMENT, _XMP_SEGMENT)
    )
    return Embedded(
        exif=exif[0] if exif else b"",
        profile=read_header(tidy).profile,
        dpi=next((_density(body) for marker, body in segments if marker == _APP0), None),
        xmp=xmp[0] if xmp else b"",
        resources=from_segments([body for marker, body in segments if marker == _APP13]),
        comment=next((body for marker, body in segments if marker == _COMMENT), b""),
        others=tuple(_others_of_jpeg(segments, _trailer(data))),
    )


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields marker and body of the segments before the first scan, which the strict decoder has checked."""
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


def _trailer(data: bytes) -> bytes:
    """Returns what follows the picture in a JPEG's file."""
    last = [0, *(scan.end for scan in scans(data, read_header(data).scan))][-1]
    return data[last + 2 :]


def _others_of_jpeg(segments: list[tuple[int, bytes]], trailer: bytes) -> Iterator[str]:
    def has(marker: int, start: bytes) -> bool:
        return any(found == marker and body.startswith(start) for found, body in segments)

    if _VIDEO.search(trailer):
        yield MOTION_PHOTO
    if has(_APP2, _GAIN_MAP_SEGMENT) or _OF_GAIN_MAP.search(trailer):
        yield GAIN_MAP
    elif has(_APP2, _MPF_SEGMENT) or _PICTURE in trailer:
        yield FURTHER_PICTURES
    if has(_APP1, _EXTENDED_XMP_SEGMENT):
        yield EXTENDED_XMP
    if any(marker == _APP11 and b"c2pa" in body for marker, body in segments):
        yield CREDENTIALS


def _read_png(data: bytes) -> Embedded:
    chunks = list(_chunks(data))
    first = dict(reversed(chunks))
    texts = [(kind, body) for kind, body in chunks if kind in _TEXT_CHUNKS]
    raw = {name: profile for kind, body in texts if (found := _raw_profile(kind, body)) for name, profile in [found]}
    xmp = [_text(kind, body) for kind, body in texts if body.startswith(_XMP_KEY + b"\0")]
    app1 = raw.get(b"APP1", b"")
    is_exif = app1.startswith(_EXIF_SEGMENT)
    exif = raw.get(b"exif", app1 if is_exif else b"")
    resources = raw.get(b"8bim", raw.get(b"iptc", b""))
    return Embedded(
        exif=_EXIF_START.sub(b"", first.get(b"eXIf") or exif),
        profile=_inflated(first.get(b"iCCP", b"\0").partition(b"\0")[2][1:]),
        dpi=_dots_per_inch(first.get(b"pHYs", b"")),
        xmp=xmp[0] if xmp else raw.get(b"xmp", b"" if is_exif else app1.removeprefix(_XMP_SEGMENT)),
        resources=resources if resources.startswith(b"8BIM") or not resources else resource_of_iptc(resources),
        texts=tuple((kind, body) for kind, body in texts if not body.startswith((_XMP_KEY, _RAW_PROFILE))),
        others=(CREDENTIALS,) if b"caBX" in first else (),
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields type and content of the chunks but those of pixels. The decoder has checked them."""
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4])
        kind = data[position + 4 : position + 8]
        if kind != b"IDAT":
            yield kind, data[position + 8 : position + 8 + length]
        if kind == b"IEND":
            return
        position += 12 + length


def _text(kind: bytes, body: bytes) -> bytes:
    """Returns the text of a text chunk; empty if it cannot be inflated (ISO/IEC 15948, 11.3.4)."""
    _, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflated(rest[1:])
    text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind a language and a translated keyword
    return _inflated(text) if rest[:1] == b"\1" else text


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MAX_INFLATED_BYTES)
    except zlib.error:
        return b""


def _raw_profile(kind: bytes, body: bytes) -> tuple[bytes, bytes] | None:
    """Returns name and content of what ImageMagick stores as text: its name, its length, and hexadecimal digits."""
    if not body.startswith(_RAW_PROFILE):
        return None
    name = body[len(_RAW_PROFILE) :].partition(b"\0")[0]
    digits = b"".join(_text(kind, body).split(b"\n")[3:])
    try:
        return name, bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None


def _dots_per_inch(body: bytes) -> tuple[float, ...] | None:
    if len(body) != 9 or body[8] != 1:
        return None
    return tuple(dots * _INCHES_PER_M for dots in struct.unpack_from(">II", body))


def _read_tiff(data: bytes) -> Embedded:
    order = "<" if data[:2] == b"II" else ">"
    tags = Image.Exif()
    tags.endian, tags.bigtiff = order, data[2:4] in (b"+\0", b"\0+")
    (offset,) = struct.unpack_from(order + "Q", data, 8) if tags.bigtiff else struct.unpack_from(order + "I", data, 4)
    tags.load_from_fp(io.BytesIO(data), offset)
    resources = _bytes(tags.get(_RESOURCES_TAG))
    own_iptc = _bytes(tags.get(_IPTC_TAG))
    if own_iptc and not iptc(resources):
        resources += resource_of_iptc(own_iptc)
    across, down = tags.get(ExifTags.Base.XResolution), tags.get(ExifTags.Base.YResolution)
    unit = _TIFF_INCH_UNITS.get(tags.get(ExifTags.Base.ResolutionUnit))
    profile, xmp = _bytes(tags.get(_ICC_TAG)), _bytes(tags.get(_XMP_TAG))
    try:
        exif = _exif_of_tags(tags)
    except PILLOW_ERRORS:
        exif = None
    return Embedded(
        exif=exif or b"",
        profile=profile,
        dpi=(across * unit, down * unit) if across and down and unit else None,
        xmp=xmp,
        resources=resources,
        others=(BROKEN_EXIF,) if exif is None else (),
    )


def _exif_of_tags(tags: Image.Exif) -> bytes:
    """Returns the tags of a TIFF or BigTIFF that describe the photograph as a block; removes the others.

    Raises:
        PILLOW_ERRORS: The tags cannot be written.
    """
    _read_directories(tags)  # while it is known to be a BigTIFF
    for tag in list(tags):
        private = tag >= _FIRST_PRIVATE_TAG and tag not in _TIFF_OTHERS
        if not private and tag not in _TIFF_TEXTS:
            del tags[tag]
    tags.bigtiff = False
    return _EXIF_START.sub(b"", tags.tobytes()) if len(tags) else b""


def _read_directories(tags: Image.Exif) -> None:
    """Reads the directories that tags refer to; the tag of one that cannot be read is removed."""
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        try:
            tags.get_ifd(directory)
        except PILLOW_ERRORS:
            del tags[directory]
    photograph = tags.get_ifd(ExifTags.IFD.Exif)
    try:
        if ExifTags.IFD.Interop in photograph:
            tags.get_ifd(ExifTags.IFD.Interop)
    except PILLOW_ERRORS:
        del photograph[ExifTags.IFD.Interop]


def _others_of_heif(data: bytes) -> tuple[str, ...]:
    """Returns what else an AVIF or HEIC holds: Samsung's video has a box of its own, other pictures are items."""
    found = {box.name: data[box.content : box.end] for box in boxes(data)}
    described = found.get(b"meta", b"")
    names = {
        MOTION_PHOTO: b"mpvd" in found or _VIDEO.search(data, 32),
        GAIN_MAP: _OF_GAIN_MAP.search(described),
        DEPTH: _OF_DEPTH.search(described),
    }
    return tuple(name for name, is_there in names.items() if is_there)
