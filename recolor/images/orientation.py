"""EXIF orientation (CIPA DC-008, tag 0x0112): read from a block of metadata, and applied to pixels."""

import struct
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

TRANSPOSED = range(5, 9)  # orientations that exchange width and height
_TAG = 0x0112
_SHORT, _LONG = 3, 4
_MAX_ENTRIES = 1000

Channels = TypeVar("Channels", bound=np.generic)


def read_orientation(tiff: bytes) -> int:
    """Reads the orientation from an EXIF block; 1, upright, if the block is damaged or does not say.

    Args:
        tiff: The block from its TIFF header (`II*` or `MM*`) on.

    Returns:
        1..8.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(min(count, _MAX_ENTRIES)):
            position = start + 2 + 12 * entry
            tag, kind = struct.unpack_from(order + "HH", tiff, position)
            if tag == _TAG and kind in (_SHORT, _LONG):
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, position + 8)
                return valid_orientation(value)
    except struct.error:
        return 1
    return 1


def valid_orientation(value: object) -> int:
    """Returns an orientation as it is, and 1, upright, for whatever is none: the pixels are as good without it."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright_size(width_px: int, height_px: int, orientation: int) -> tuple[int, int]:
    """Returns width and height after the orientation is applied."""
    return (height_px, width_px) if orientation in TRANSPOSED else (width_px, height_px)


def upright(pixels: NDArray[Channels], orientation: int) -> NDArray[Channels]:
    """Applies an EXIF orientation.

    Args:
        pixels: [H, W] or [H, W, C].
        orientation: 1..8.

    Returns:
        [H, W, ...] or, for 5 to 8, [W, H, ...]; contiguous.
    """
    if orientation in TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
