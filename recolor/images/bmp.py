"""BMP: headers and pixels that contradict each other, and the colour masks and profiles that Pillow does not know."""

import struct
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from recolor.errors import ImageError
from recolor.images.decoded import Decoded, check_size
from recolor.images.icc import to_srgb
from recolor.images.pillow import open_picture, read_picture
from recolor.images.zero_tail import check_rows

SIGNATURE = b"BM"
_UNCOMPRESSED = 0
_DEPTHS = (1, 4, 8, 16, 24, 32)
_RLE = {1: 8, 2: 4}  # bits of a pixel
_END_OF_ROW, _MOVE = 0, 2  # commands of run lengths; 3 and more: that many pixels follow as they are
_END_OF_PICTURE = b"\0\1"
_BITFIELDS = (3, 6)  # without and with a mask for alpha, which comes last
_HEADER_BYTES = 54
_HEADER_WITH_ALPHA_BYTES, _ALPHA_MASK = 56, 66
_HEADER_WITH_PROFILE_BYTES = 124
_SPACE, _PROFILE, _EMBEDDED = 70, 126, b"DEBM"  # kind of colours; place behind the file header, and size
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


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decodes a BMP; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason.
    """
    check(data, max_pixels)
    decoded = decode_bitfields(data)
    return in_srgb(decoded if decoded is not None else read_picture(open_picture(data, "BMP"), max_pixels), data)


def in_srgb(decoded: Decoded, data: bytes) -> Decoded:
    """Converts a decoded picture by the ICC profile that its file embeds (BITMAPV5HEADER), if there is one."""
    if len(data) < _HEADER_WITH_PROFILE_BYTES + 14 or data[_SPACE : _SPACE + 4] != _EMBEDDED:
        return decoded
    header_bytes, (start, size) = struct.unpack_from("<I", data, 14)[0], struct.unpack_from("<II", data, _PROFILE)
    if header_bytes < _HEADER_WITH_PROFILE_BYTES or 14 + start + size > len(data):
        return decoded
    return replace(decoded, pixels=to_srgb(decoded.pixels, data[14 + start : 14 + start + size]), icc=True)


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
    elif header.compression == _UNCOMPRESSED:
        if header.bits in (1, 4, 8):
            _check_indices(data, header)
        if header.bits in _DEPTHS:
            check_rows(_rows(data, header).data.cast("B"), header.row_bytes)


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
    """Decodes a picture that `check` has passed, if its channels have masks of any width and place.

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
    masks += _alpha_mask(data, header)
    _check_masks(masks, header.bits)
    width, height = header.width_px, abs(header.height_px)
    pixels = _rows(data, header).view(f"<u{header.bits // 8}")[:, :width]
    channels = np.empty((height, width, len(masks)), np.uint8)
    for top in range(0, height, _BLOCK_ROWS):  # the fractions between take many times the memory of the picture
        rows = slice(top, top + _BLOCK_ROWS)
        channels[rows] = np.stack([_channel(pixels[rows], mask) for mask in masks], axis=2)
    upright = channels if header.height_px < 0 else channels[::-1]
    alpha = np.ascontiguousarray(upright[..., 3]) if len(masks) == 4 else None
    return Decoded(
        pixels=np.ascontiguousarray(upright[..., :3]),
        alpha=alpha if alpha is not None and alpha.any() else None,  # all 0: written by who knows of no alpha
        width_px=width,
        height_px=height,
        format="BMP",
        mode="RGB" if alpha is None else "RGBA",
        frames=1,
        orientation=1,
        icc=False,
    )


def _header(data: bytes) -> _Header | None:
    if len(data) < _HEADER_BYTES or struct.unpack_from("<I", data, 14)[0] < 40:
        return None
    return _Header(*struct.unpack_from("<I4xII", data, 2), *struct.unpack_from("<iiHHIIiiII", data, 18))


def _alpha_mask(data: bytes, header: _Header) -> tuple[int, ...]:
    """Returns the mask of alpha, if there is one (BITMAPV3INFOHEADER and longer, or BI_ALPHABITFIELDS)."""
    if header.header_bytes < _HEADER_WITH_ALPHA_BYTES and header.compression != _BITFIELDS[1]:
        return ()
    (mask,) = struct.unpack_from("<I", data.ljust(_ALPHA_MASK + 4, b"\0"), _ALPHA_MASK)
    return (mask,) if mask else ()


def _check_masks(masks: tuple[int, ...], bits: int) -> None:
    """Each is one run of bits within the pixel, and none is in two (Windows GDI, BITMAPINFOHEADER)."""
    runs = [mask // (mask & -mask) for mask in masks]
    together = reduce(or_, masks)
    if any(run & (run + 1) for run in runs) or sum(masks) != together or together >> bits:
        raise ImageError("bad_entropy_data", f"colour masks {masks} of {bits} bits")


def _channel(pixels: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    shift = (mask & -mask).bit_length() - 1
    values = (pixels.astype(np.uint32) & np.uint32(mask)) >> np.uint32(shift)
    return np.asarray((values * (255.0 / (mask >> shift))).round().astype(np.uint8))


def check_runs(data: bytes, start: int, width_px: int, height_px: int, *, bits: int) -> None:
    """Follows run lengths from pixel to pixel: pairs of a count and a value; the count 0 makes the value a command.

    Pillow cuts what leaves a row, and stops where it likes.

    Args:
        data: The file.
        start: Where the runs start.
        width_px: Pixels of a row.
        height_px: Number of rows.
        bits: 8 or 4, of a pixel.

    Raises:
        ImageError: `bad_entropy_data` if a run leaves its row or the picture, `truncated` if rows are missing,
            `no_end_marker` if only the end of the picture is not marked.
    """
    position, x, y = start, 0, 0
    while len(command := data[position : position + 2]) == 2 and command != _END_OF_PICTURE:
        position, x, y = _follow(data, position, x, y, bits)
        if x > width_px or y * width_px + x > height_px * width_px:
            raise ImageError("bad_entropy_data", f"a run goes to column {x} of row {y}: {width_px}x{height_px} pixels")
    if position > len(data) or y * width_px + x < height_px * width_px:
        raise ImageError("truncated", f"the runs end at column {x} of row {y}: {width_px}x{height_px} pixels")
    if command != _END_OF_PICTURE:
        raise ImageError("no_end_marker", "run lengths without an end of the picture")


def _follow(data: bytes, position: int, x: int, y: int, bits: int) -> tuple[int, int, int]:
    """Where the next command stands, and the pixel that it starts at."""
    count, value = data[position], data[position + 1]
    position += 2
    if count:
        return position, x + count, y
    if value == _END_OF_ROW:
        return position, 0, y + 1
    if value == _MOVE:
        right, up = data[position : position + 2].ljust(2, b"\0")
        return position + 2, x + right, y + up
    pixel_bytes = (value * bits + 7) // 8
    return position + pixel_bytes + pixel_bytes % 2, x + value, y  # an even number of bytes, padded
