"""Pixels of 8 and of 16 bits a channel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16, of the full range
Uint8 = NDArray[np.uint8]
Uint16 = NDArray[np.uint16]


def to_8_bits(pixels: Pixels) -> Uint8:
    """The nearest values of 8 bits; those that are, as they are."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_16_bits(pixels: Pixels) -> Uint16:
    """The same values with 16 bits."""
    if pixels.dtype == np.uint16:
        return pixels.astype(np.uint16, copy=False)
    return pixels.astype(np.uint16) * np.uint16(257)


def on_white(rgb: Pixels, alpha: Pixels) -> Pixels:
    """Lays pixels [H, W, 3] with straight alpha [H, W], of the same depth, on white."""
    highest = np.iinfo(rgb.dtype).max
    share = (alpha / np.float32(highest))[..., None]
    laid: Pixels = np.rint(rgb * share + highest * (1 - share)).astype(rgb.dtype)
    return laid
