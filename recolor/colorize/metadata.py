"""Metadata of a photograph, true of its coloured version: upright sRGB pixels, and nothing beside them."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

from recolor.colorize.embedded import (
    BROKEN_EXIF,
    DEPTH,
    EXTENDED_XMP,
    FURTHER_PICTURES,
    GAIN_MAP,
    Embedded,
    read_embedded,
)
from recolor.colorize.exif import exif_of_result
from recolor.colorize.image_resources import iptc, resources_of_result
from recolor.colorize.xmp import xmp_of_result
from recolor.errors import ImageError
from recolor.images import Decoded
from recolor.images.icc import profile_of_result
from recolor.images.orientation import TRANSPOSED
from recolor.images.pillow import PILLOW_ERRORS, one_line, pillow_warnings_as_errors

_MAX_SEGMENT_BYTES = 65_000  # a JPEG segment holds 65,533 bytes, including its identifier
# What each format holds. The resolution of a WebP stands in its EXIF alone, and a BMP is in sRGB without a profile.
_HELD: Mapping[str, frozenset[str]] = {
    "JPEG": frozenset({"exif", "profile", "dpi", "xmp", "resources", "comment"}),
    "PNG": frozenset({"exif", "profile", "dpi", "xmp", "resources", "texts"}),
    "TIFF": frozenset({"exif", "profile", "dpi", "xmp", "resources"}),
    "WEBP": frozenset({"exif", "profile", "xmp"}),
    "BMP": frozenset({"dpi"}),
}
# Texts by which programs such as ImageMagick describe the original's file and samples, by how their keywords begin.
_TEXTS_OF_ORIGINAL = (b"thumb::", b"exif:thumbnail:", b"png:", b"icc:", b"jpeg:")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Metadata that is written into the coloured file.

    Attributes:
        exif: EXIF block from its TIFF header on, with orientation 1 and without thumbnail.
        profile: ICC profile of the result.
        dpi: Horizontal and vertical resolution of the upright picture, in dots per inch.
        xmp: XMP packet.
        resources: Photoshop's image resources, which hold IPTC, without thumbnails.
        comment: Comment of a JPEG.
        texts: Type and content of a PNG's text chunks.
        dropped: Names of what the photograph's file holds and the coloured file does not.
    """

    exif: bytes = b""
    profile: bytes = b""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""
    resources: bytes = b""
    comment: bytes = b""
    texts: tuple[tuple[bytes, bytes], ...] = ()
    dropped: tuple[str, ...] = ()

    def held_by(self, file_format: str) -> "Metadata":
        """Returns what a format, such as `JPEG`, has a place for; the rest is named in `dropped`."""
        left = [found.name for found in fields(self) if found.name not in (*_HELD[file_format], "dropped")]
        if file_format == "JPEG":
            left += [name for name in ("exif", "xmp") if len(getattr(self, name)) > _MAX_SEGMENT_BYTES]
        missed = {
            "exif": ("EXIF", self.exif),
            "xmp": ("XMP", self.xmp),
            "resources": ("IPTC", iptc(self.resources)),
            "comment": ("the comment", self.comment),
            "texts": ("the texts of a PNG", self.texts),
        }
        named = [name for field, (name, value) in missed.items() if field in left and value]
        nothing = Metadata()
        empty = {name: getattr(nothing, name) for name in left}
        return replace(self, **empty, dropped=(*self.dropped, *named))


@pillow_warnings_as_errors()
def read_metadata(data: bytes, decoded: Decoded) -> Metadata:
    """Reads the metadata of a decoded file, and makes it true of its coloured version.

    What refers to bytes that the coloured file does not have is left out, and so is what cannot be read.
    `Metadata.dropped` names it.
    """
    try:
        found = read_embedded(data, decoded.tidy or data, decoded.format)
    except (*PILLOW_ERRORS, ImageError) as error:
        _log.info("the metadata cannot be read and is dropped: %s", one_line(error))
        return Metadata(dropped=("metadata that cannot be read",))
    size = (decoded.width_px, decoded.height_px)
    orientation = decoded.orientation if found.orientation == 1 else found.orientation
    exif = exif_of_result(found.exif, *size, orientation)
    xmp = xmp_of_result(found.xmp, *size, orientation)
    turned = orientation in TRANSPOSED
    broken = (BROKEN_EXIF,) if found.exif and not exif else ()
    return Metadata(
        exif=exif,
        profile=profile_of_result(found.profile),
        dpi=_dpi(found.dpi, turned=turned),
        xmp=xmp.packet,
        resources=resources_of_result(found.resources, turned=turned),
        comment=found.comment,
        texts=tuple(_texts_of_result(found, size)),
        dropped=_named_once((*xmp.dropped, *found.others, *broken)),
    )


def _named_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns each name once; a gain map or depth map is also the further picture that the file's index lists."""
    told = {GAIN_MAP, DEPTH} & set(names)
    return tuple(name for name in dict.fromkeys(names) if not (told and name in (FURTHER_PICTURES, EXTENDED_XMP)))


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


def _texts_of_result(found: Embedded, size: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yields the text chunks of a PNG, with its own size and orientation where ImageMagick's texts give any."""
    width_px, height_px = (b"%d" % side for side in size)
    values = {
        b"exif:pixelxdimension": width_px,
        b"exif:pixelydimension": height_px,
        b"exif:exifimagewidth": width_px,
        b"exif:exifimagelength": height_px,
        b"exif:imagewidth": width_px,
        b"exif:imagelength": height_px,
        b"exif:orientation": b"1",
        b"exif:colorspace": b"1",
        b"tiff:orientation": b"1",
        b"tiff:imagewidth": width_px,
        b"tiff:imagelength": height_px,
    }
    for kind, body in found.texts:
        keyword = body.partition(b"\0")[0]
        if (value := values.get(keyword.lower())) is not None:
            yield b"tEXt", keyword + b"\0" + value
        elif not keyword.lower().startswith(_TEXTS_OF_ORIGINAL):
            yield kind, body
