"""Pixels of damaged files: whatever a tolerant decoder shows, for images that a person keeps all the same."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import simplejpeg

from recolor.errors import DAMAGE, ImageError
from recolor.images import bmp, jpeg, png
from recolor.images.decoded import Decoded, check_size
from recolor.images.icc import to_srgb
from recolor.images.jpeg_header import read_header
from recolor.images.orientation import upright, upright_size
from recolor.images.pillow import PILLOW_ERRORS, open_picture, pillow_warnings_as_errors, read_picture
from recolor.images.png_pixels import Layout

_COLORSPACES = {1: "GRAY", 3: "RGB"}
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf")
_COLORS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")  # damaged ones would change all colours


def decode_damaged(data: bytes, max_pixels: int, refused: ImageError) -> Decoded:
    """Decodes what is left of a JPEG, PNG or BMP; missing pixels are grey in JPEGs and black in the others.

    Args:
        data: The bytes of a file that the strict decoder refuses.
        max_pixels: Limit on the number of pixels.
        refused: The strict decoder's reason, which becomes the note.

    Raises:
        ImageError: `refused`, if no pixels can be had.
    """
    if refused.reason not in DAMAGE:
        raise refused
    try:
        if data.startswith(jpeg.SIGNATURE):
            decoded = _decode_jpeg(data, max_pixels)
        elif data.startswith(png.SIGNATURE):
            decoded = png.decode(_completed_png(data, max_pixels), max_pixels)
        elif data.startswith(bmp.SIGNATURE):
            decoded = _decode_bmp(data, max_pixels)
        else:
            raise refused
    except (ImageError, *PILLOW_ERRORS) as error:
        raise refused from error
    return replace(decoded, notes=(f"damaged: {refused}",))


def _decode_jpeg(data: bytes, max_pixels: int) -> Decoded:
    header = read_header(data)
    check_size(header.width_px, header.height_px, max_pixels)
    stored = simplejpeg.decode_jpeg(data, _COLORSPACES.get(header.components, "RGB"), strict=False)
    width_px, height_px = upright_size(header.width_px, header.height_px, header.orientation)
    return Decoded(
        pixels=upright(to_srgb(stored, header.profile), header.orientation),
        width_px=width_px,
        height_px=height_px,
        format="JPEG",
        mode={1: "L", 3: "RGB"}.get(header.components, "CMYK"),
        frames=1,
        orientation=header.orientation,
        icc=bool(header.profile),
    )


def _completed_png(data: bytes, max_pixels: int) -> bytes:
    """Returns a PNG of the header, palette and rows that can be read; black rows and good checksums are added.

    Raises:
        ImageError: There is no header, or it cannot be true.
    """
    kept: list[tuple[bytes, bytes]] = []
    packed, position = b"", len(png.SIGNATURE)
    while len(kind := data[position + 4 : position + 8]) == 4:
        body = data[position + 8 : position + 8 + int.from_bytes(data[position : position + 4])]
        checksum = data[position + 8 + len(body) : position + 12 + len(body)]
        position += 12 + len(body)
        if kind == b"IDAT":
            packed += body
        elif packed:
            continue
        elif kind in _NEEDED or (kind in _COLORS and checksum == zlib.crc32(kind + body).to_bytes(4)):
            kept.append((kind, body))
    if not kept or kept[0][0] != b"IHDR" or len(kept[0][1]) != 13:
        raise ImageError("truncated", "PNG without an IHDR chunk")
    layout = Layout.of(kept[0][1])
    check_size(layout.width_px, layout.height_px, max_pixels)
    rows = np.zeros(sum(count * row_bytes for count, row_bytes in layout.rows()), np.uint8)
    inflated = np.frombuffer(_inflate(packed, rows.size), np.uint8)
    rows[: inflated.size] = inflated
    start = 0
    for count, row_bytes in layout.rows():  # a row whose filter is none was damaged: it is taken as it is
        filters = rows[start : start + count * row_bytes : row_bytes]
        filters[filters > 4] = 0
        start += count * row_bytes
    return png.join_chunks([*kept, (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b"")])


def _inflate(packed: bytes, most: int) -> bytes:
    """Returns what can be inflated up to the first damage, at most `most` bytes."""
    stream, parts, size = zlib.decompressobj(), [], 0
    try:
        for start in range(0, len(packed), 4096):
            parts.append(stream.decompress(packed[start : start + 4096], most - size))
            size += len(parts[-1])
            if size >= most:
                break
    except zlib.error:
        pass
    return b"".join(parts)


@pillow_warnings_as_errors()
def _decode_bmp(data: bytes, max_pixels: int) -> Decoded:
    """Missing rows of a BMP are the upper ones, as it is stored from below."""
    width_px, height_px = struct.unpack_from("<ii", data, 18)
    check_size(width_px, abs(height_px), max_pixels)
    whole = data.ljust(4 * width_px * abs(height_px) + 2048, b"\0")
    return bmp.in_srgb(read_picture(open_picture(whole, "BMP"), max_pixels), data)
