"""JPEG (ITU-T T.81): libjpeg-turbo in strict mode, scaled in the DCT where that is allowed."""

import io
import re
import struct
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from recolor.errors import DecodeReason, ImageError
from recolor.images.decoded import Decoded, check_size, upright, upright_size
from recolor.images.exif import read_orientation
from recolor.images.icc import array_to_srgb, to_srgb
from recolor.images.pillow import PILLOW_ERRORS, one_line, pillow_warnings_as_errors

SIGNATURE = b"\xff\xd8\xff"
_END = b"\xff\xd9"
_SCAN = b"\xff\xda"
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG, DAC
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])  # TEM, RST0..7
_NO_FILL = re.compile(rb"[^\xff]")
_SEGMENT_OR_END = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # within a scan: no stuffed 0x00, TEM, RST, fill byte
_EXIF = b"Exif\x00\x00"
_ICC = b"ICC_PROFILE\x00"
# Each scan passes over the whole picture: thousands of empty scans are an attack on time.
_MAX_SCANS = 200


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the first scan: size as stored, components, orientation 1..8, ICC profile or nothing.

    `scan` is the byte at which the marker of that scan stands.
    """

    width_px: int
    height_px: int
    components: int
    orientation: int
    profile: bytes
    scan: int


def decode(data: bytes, max_pixels: int, min_side_px: int | None) -> Decoded:
    """Decodes a JPEG strictly; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason.
    """
    header = read_header(data)
    check_size(header.width_px, header.height_px, max_pixels)
    if header.components not in _MODES:
        raise ImageError("unsupported", f"{header.components} colour components")
    _check_size_of_libjpeg(data, header)
    if _count_pairs(data, _SCAN) > _MAX_SCANS and _scans(data, header.scan) > _MAX_SCANS:
        raise ImageError("unsupported", f"more than {_MAX_SCANS} scans")
    rgb = _decode_cmyk(data, header) if header.components == 4 else _decode_rgb(data, header, min_side_px)
    width_px, height_px = upright_size(header.width_px, header.height_px, header.orientation)
    return Decoded(
        rgb=upright(rgb, header.orientation),
        width_px=width_px,
        height_px=height_px,
        format="JPEG",
        mode=_MODES[header.components],
        frames=1,
        orientation=header.orientation,
        icc=bool(header.profile),
    )


def read_header(data: bytes) -> Header:
    """Walks the marker segments up to the first scan.

    Raises:
        ImageError: `truncated` if the file ends before it, `not_an_image` if no segments follow the signature,
            `bad_entropy_data` if something else stands between them.
    """
    position, size, orientation = _marker_at(data, 2), None, 1
    profiles: list[bytes] = []
    while (marker := data[position + 1]) != 0xDA:
        if marker in _STANDALONE:
            position = _marker_at(data, position + 2)
            continue
        body = _segment(data, position)
        if marker in _FRAMES and len(body) >= 6:
            size = struct.unpack_from(">HHB", body, 1)
        elif marker == 0xE1 and body.startswith(_EXIF) and orientation == 1:
            orientation = read_orientation(body[len(_EXIF) :])
        elif marker == 0xE2 and body.startswith(_ICC):
            profiles.append(body[len(_ICC) :])
        position = _marker_at(data, position + 4 + len(body))
    if size is None:
        raise ImageError("truncated", "no frame header before the first scan")
    return Header(size[1], size[0], size[2], orientation, _join_profile(profiles), position)


def _marker_at(data: bytes, position: int) -> int:
    """Where the marker that is due here stands, after any number of 0xFF that fill up to it (T.81, B.1.1.2)."""
    code = _NO_FILL.search(data, position)
    if code is None or code.start() + 3 > len(data):
        raise ImageError("truncated", "the file ends before its first scan")
    if code.start() == position or code[0] == b"\0":
        raise ImageError("not_an_image" if position == 2 else "bad_entropy_data", f"no marker at byte {position}")
    return code.start() - 1


def _segment(data: bytes, position: int) -> bytes:
    (length,) = struct.unpack_from(">H", data, position + 2)
    body = data[position + 4 : position + 2 + length]
    if length < 2 or len(body) != length - 2:
        raise ImageError("truncated", f"the segment at byte {position} is cut off")
    return body


def _check_size_of_libjpeg(data: bytes, header: Header) -> None:
    """Whoever checks the limits must read the same header as whoever decodes."""
    try:
        height_px, width_px, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return  # decoding starts in the same way, and will have the reason
    except KeyError:
        return  # a subsampling that libjpeg decodes and simplejpeg has no name for (4:4:1)
    if (width_px, height_px) != (header.width_px, header.height_px):
        said = f"the header says {header.width_px}x{header.height_px} pixels, libjpeg reads {width_px}x{height_px}"
        raise ImageError("bad_entropy_data", said)


def _count_pairs(data: bytes, pair: bytes) -> int:
    """How often two bytes stand in the data; for JPEGs seven times as fast as `bytes.count`, and each file is asked."""
    word = int.from_bytes(pair, "little")
    words = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(some == word)) for some in words)


def _scans(data: bytes, position: int) -> int:
    """Number of scans from this marker to the end marker; what a camera appended has none."""
    count = 0
    while (marker := _SEGMENT_OR_END.search(data, position)) and marker[0] != _END:
        count += marker[0] == _SCAN
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return count


def _join_profile(chunks: list[bytes]) -> bytes:
    """Chunks carry their number first and the total second (ICC.1:2010, B.4)."""
    return b"".join(chunk[2:] for chunk in sorted(chunks, key=lambda chunk: chunk[:1]))


def _decode_rgb(data: bytes, header: Header, min_side_px: int | None) -> NDArray[np.uint8]:
    factor = _scale(min(header.width_px, header.height_px), min_side_px)
    rgb = _strict(data, "RGB", -(-header.height_px // factor), -(-header.width_px // factor))
    return array_to_srgb(rgb, header.profile) if header.profile else rgb


@pillow_warnings_as_errors()
def _decode_cmyk(data: bytes, header: Header) -> NDArray[np.uint8]:
    """The verdict is libjpeg-turbo's strict one; the pixels are Pillow's, which knows Adobe's inverted CMYK."""
    _strict(data, "CMYK", -(-header.height_px // 8), -(-header.width_px // 8))
    try:
        picture = Image.open(io.BytesIO(data), formats=["JPEG"])
        picture.load()
    except PILLOW_ERRORS as error:
        raise ImageError("unsupported", one_line(error)) from error
    return np.asarray(to_srgb(picture, header.profile) if header.profile else picture.convert("RGB"))


def _scale(side_px: int, min_side_px: int | None) -> int:
    """The largest of 1, 2, 4, 8 that keeps the short side: the scales that libjpeg-turbo has fast code for."""
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or (min_side_px and side_px >= min_side_px * factor))


def _strict(data: bytes, colours: str, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Decodes at the smallest scale that has this size at least."""
    try:
        return _decoded(data, colours, height_px, width_px)
    except ValueError as error:
        detail = str(error)
    raise ImageError(_reason(data, detail, colours, height_px, width_px), detail)


def _decoded(data: bytes, colours: str, height_px: int, width_px: int) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, colours, min_height=height_px, min_width=width_px, strict=True
    )
    return rgb


def _reason(data: bytes, detail: str, colours: str, height_px: int, width_px: int) -> DecodeReason:
    said = detail.lower()
    if "premature end of jpeg file" in said:
        return "no_end_marker" if _complete_but_for_end(data, colours, height_px, width_px) else "truncated"
    if "corrupt jpeg data" in said or "bogus" in said or "huffman" in said:
        return "bad_entropy_data"
    return "unsupported" if "unsupported" in said or "not supported" in said else "bad_entropy_data"


def _complete_but_for_end(data: bytes, colours: str, height_px: int, width_px: int) -> bool:
    """Whether the missing end marker is all that is wrong."""
    try:
        _decoded(data + _END, colours, height_px, width_px)
    except ValueError:
        return False
    return True
