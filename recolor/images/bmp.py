"""BMP: headers and pixels that contradict each other, and the colour masks that Pillow does not know."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recolor.errors import ImageError
from recolor.images.bmp_runs import check_runs
from recolor.images.decoded import Decoded, check_size

SIGNATURE = b"BM"
_UNCOMPRESSED = 0
_RLE = {1: 8, 2: 4}  # bits of a pixel
_BITFIELDS = (3, 6)  # without and with a mask for alpha, which comes last
_HEADER_BYTES = 54
_BLOCK_ROWS = 64
# Two densities beyond that are no shape of pixels, but damage or an attack on whoever corrects the shape.
_MOST_STRETCHED = 100


@dataclass(frozen=True, slots=True)
class _Header:
    """BITMAPFILEHEADER and BITMAPINFOHEADER (or a longer one)."""

    file_bytes: int
    start: int
    header_bytes: int
    width_px: int
    height_px: int  # negative: rows from the top
    planes: int
    bits: int
    compression: int
    pixel_bytes: int  # may be 0
    across_per_m: int  # pixels per metre, or 0
    down_per_m: int
    colours: int  # 0: as many as there are indices
    important: int

    @property
    def row_bytes(self) -> int:
        """Bytes of an uncompressed row."""
        return (self.width_px * self.bits + 31) // 32 * 4


def check(data: bytes, max_pixels: int) -> None:
    """Refuses a BMP whose header, palette and pixels cannot belong together. OS/2's short headers are left to Pillow.

    Raises:
        ImageError: `truncated`, `bad_entropy_data`, `no_end_marker`, `unsupported` or `too_many_pixels`.
    """
    header = _header(data)
    if header is None:
        return
    check_size(header.width_px, abs(header.height_px), max_pixels)
    if max(header.file_bytes, header.pixel_bytes) > len(data):
        said = f"{header.file_bytes} bytes, {header.pixel_bytes} of them pixels"
        raise ImageError("truncated", f"{len(data)} bytes, the header says {said}")
    if header.planes != 1:
        raise ImageError("bad_entropy_data", f"{header.planes} planes, there can be one only")
    densities = sorted((header.across_per_m, header.down_per_m))
    if 0 < densities[0] * _MOST_STRETCHED < densities[1]:
        raise ImageError("bad_entropy_data", f"{densities[1]} pixels per metre one way, {densities[0]} the other")
    if header.compression in _RLE:
        _check_runs(data, header)
    elif header.compression == _UNCOMPRESSED and header.bits in (1, 4, 8):
        _check_indices(data, header)


def _check_runs(data: bytes, header: _Header) -> None:
    if header.height_px < 0:
        raise ImageError("bad_entropy_data", "run lengths with rows from the top")
    check_runs(data, header.start, header.width_px, header.height_px, bits=_RLE[header.compression])


def _check_indices(data: bytes, header: _Header) -> None:
    """An index beyond the palette has no colour: each viewer shows another one."""
    palette_end = 14 + header.header_bytes + 4 * header.colours
    if not 0 < header.colours < 1 << header.bits or header.start < palette_end:
        return
    rows = _rows(data, header)
    shifts = range(8 - header.bits, -1, -header.bits)
    indices = np.stack([rows >> shift & (1 << header.bits) - 1 for shift in shifts], axis=2)
    highest = indices.reshape(len(rows), -1)[:, : header.width_px].max()
    if highest >= header.colours:
        raise ImageError("bad_entropy_data", f"the colour {highest} of {header.colours} colours, counted from 0")


def _rows(data: bytes, header: _Header) -> NDArray[np.uint8]:
    """Uncompressed rows, uint8 [H, bytes of a row], in the order of the file."""
    height = abs(header.height_px)
    if len(data) < header.start + height * header.row_bytes:
        raise ImageError("truncated", f"{len(data)} bytes cannot hold {header.width_px}x{height} pixels")
    return np.frombuffer(data, np.uint8, height * header.row_bytes, header.start).reshape(height, header.row_bytes)


def decode_bitfields(data: bytes) -> Decoded | None:
    """Decodes a picture that `check` has passed, if its red, green and blue have masks of any width and place.

    Returns:
        The picture, or None if it is not such a one.

    Raises:
        ImageError: `truncated`, or `bad_entropy_data` if the masks are no masks.
    """
    header = _header(data)
    if header is None or header.compression not in _BITFIELDS or header.bits not in (16, 32):
        return None
    masks = struct.unpack_from("<III", data, _HEADER_BYTES) if len(data) >= _HEADER_BYTES + 12 else (0, 0, 0)
    if not all(masks):
        return None
    _check_masks(masks, header.bits)
    width, height = header.width_px, abs(header.height_px)
    pixels = _rows(data, header).view(f"<u{header.bits // 8}")[:, :width]
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BLOCK_ROWS):  # the fractions between take many times the memory of the picture
        rows = slice(top, top + _BLOCK_ROWS)
        rgb[rows] = np.stack([_channel(pixels[rows], mask) for mask in masks], axis=2)
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
    return _Header(*struct.unpack_from("<I4xII", data, 2), *struct.unpack_from("<iiHHIIiiII", data, 18))


def _check_masks(masks: tuple[int, ...], bits: int) -> None:
    """Each is one run of bits within the pixel, and none is in two (Windows GDI, BITMAPINFOHEADER)."""
    runs = [mask // (mask & -mask) for mask in masks]
    together = masks[0] | masks[1] | masks[2]
    if any(run & (run + 1) for run in runs) or sum(masks) != together or together >> bits:
        raise ImageError("bad_entropy_data", f"colour masks {masks} of {bits} bits")


def _channel(pixels: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    shift = (mask & -mask).bit_length() - 1
    values = (pixels.astype(np.uint32) & np.uint32(mask)) >> np.uint32(shift)
    return np.asarray((values * (255.0 / (mask >> shift))).round().astype(np.uint8))
