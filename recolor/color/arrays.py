"""Array types, named for what they hold, and conversions between 8 and 16 bits a channel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]  # sRGB [..., 3], 0..255
Grey = NDArray[np.uint8]  # one channel [H, W], 0..255
Lab = NDArray[np.float32]  # CIELAB [..., 3]: L 0..100, a and b in Lab units
AB = NDArray[np.float32]  # a and b [..., 2], in Lab units
Floats = NDArray[np.float64]  # statistics and measurements
Uint8 = NDArray[np.uint8]
Uint16 = NDArray[np.uint16]
Pixels = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16, over the full range of the type


def to_8_bits(pixels: Pixels) -> Uint8:
    """Returns uint8 pixels; 16-bit values are rounded to the nearest."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_16_bits(pixels: Pixels) -> Uint16:
    """Returns uint16 pixels; 8-bit values are scaled exactly, 255 becomes 65535."""
    if pixels.dtype == np.uint16:
        return pixels.astype(np.uint16, copy=False)
    return pixels.astype(np.uint16) * np.uint16(257)


def on_white(rgb: Pixels, alpha: Pixels) -> Pixels:
    """Composites pixels [H, W, 3] with straight alpha [H, W] of the same dtype on white."""
    highest = np.iinfo(rgb.dtype).max
    share = (alpha / np.float32(highest))[..., None]
    composited: Pixels = np.rint(rgb * share + highest * (1 - share)).astype(rgb.dtype)
    return composited
