"""BMP: headers that contradict themselves, and the colour masks that Pillow does not know."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recolor.errors import ImageError
from recolor.images.decoded import Decoded, check_size

SIGNATURE = b"BM"
_RLE = (1, 2)
_BITFIELDS = 3
_HEADER_BYTES = 54


@dataclass(frozen=True, slots=True)
class _Header:
    """BITMAPFILEHEADER and BITMAPINFOHEADER, without what no pixel depends on."""

    file_bytes: int
    start: int
    width_px: int
    height_px: int  # negative: rows from the top
    planes: int
    bits: int
    compression: int


def check(data: bytes) -> None:
    """Refuses a BMP whose header cannot be true. Other header sizes (OS/2) are left to Pillow.

    Raises:
        ImageError: `truncated` or `bad_entropy_data`.
    """
    header = _header(data)
    if header is None:
        return
    if header.file_bytes > len(data):
        raise ImageError("truncated", f"{len(data)} bytes, the header says {header.file_bytes}")
    if header.planes != 1:
        raise ImageError("bad_entropy_data", f"{header.planes} planes, there can be one only")
    if header.compression in _RLE and header.height_px < 0:
        raise ImageError("bad_entropy_data", "run lengths with rows from the top")


def decode_bitfields(data: bytes, max_pixels: int) -> Decoded | None:
    """Decodes an uncompressed picture of 16 or 32 bits whose red, green and blue have masks of any width and place.

    Returns:
        The picture, or None if it is not such a one.

    Raises:
        ImageError: `too_many_pixels`, or `truncated`.
    """
    header = _header(data)
    if header is None or header.compression != _BITFIELDS or header.bits not in (16, 32):
        return None
    masks = struct.unpack_from("<III", data, _HEADER_BYTES) if len(data) >= _HEADER_BYTES + 12 else (0, 0, 0)
    width, height = header.width_px, abs(header.height_px)
    check_size(width, height, max_pixels)
    if not all(masks):
        return None
    row_bytes = (width * header.bits + 31) // 32 * 4
    if len(data) < header.start + height * row_bytes:
        raise ImageError("truncated", f"{len(data)} bytes cannot hold {width}x{height} pixels")
    rows = np.frombuffer(data, np.uint8, height * row_bytes, header.start).reshape(height, row_bytes)
    pixels = rows.view(f"<u{header.bits // 8}")[:, :width]
    rgb = np.stack([_channel(pixels, mask) for mask in masks], axis=2)
    return Decoded(
        rgb=np.ascontiguousarray(rgb if header.height_px < 0 else rgb[::-1]),
        width_px=width,
        height_px=height,
        format="BMP",
        mode="RGB",
        frames=1,
        orientation=1,
        icc=False,
    )


def _header(data: bytes) -> _Header | None:
    if len(data) < _HEADER_BYTES or struct.unpack_from("<I", data, 14)[0] < 40:
        return None
    file_bytes, start = struct.unpack_from("<I4xI", data, 2)
    return _Header(file_bytes, start, *struct.unpack_from("<iiHHI", data, 18))


def _channel(pixels: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    shift = (mask & -mask).bit_length() - 1
    values = (pixels.astype(np.uint32) & np.uint32(mask)) >> np.uint32(shift)
    return np.asarray((values * (255.0 / (mask >> shift))).round().astype(np.uint8))
