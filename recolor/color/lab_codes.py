"""sRGB straight to the codes of Lab: `encode_lab(rgb_to_lab(rgb))` in half the time, for writing shards.

The same formulas in float32, the last two steps as one matrix, most of it by OpenCV's lookup and matrix products (not
its colour conversion, which interpolates). In the last bit these round by a pixel's place in the array too: so this is
for whole pictures; measurements, which must not depend on what is measured beside them, take `recolor.color.lab`.
"""

import threading

import cv2
import numpy as np
import numpy.typing as npt

from recolor.color.lab import (
    CODE_LOW,
    CODE_STEP,
    LINEAR_LIGHT,
    RELATIVE_XYZ_FROM_RGB,
    TOE_OFFSET,
    TOE_T,
    Uint8Array,
)

# A whole stored square at a time, in memory that each thread keeps: in smaller blocks the calls are so short that two
# threads wait for Python's lock as long as they work, and fresh memory would cost half as much again.
_BLOCK_PIXELS = 65536


class _Scratch(threading.local):
    """A thread's own memory for a block's intermediate values: float32 and uint8 [n, 1, 3]."""

    def __init__(self) -> None:
        self.first = np.empty((_BLOCK_PIXELS, 1, 3), np.float32)
        self.second = np.empty((_BLOCK_PIXELS, 1, 3), np.float32)
        self.codes = np.empty((_BLOCK_PIXELS, 1, 3), np.uint8)


_scratch = _Scratch()


def rgb_to_codes(rgb: Uint8Array) -> Uint8Array:
    """Converts sRGB to the codes of its CIELAB colour.

    Args:
        rgb: uint8 [..., 3], 0..255.

    Returns:
        uint8 [3, ...]: the codes of L, a and b. About one in 100,000 (of very dark colours one in 10,000) is the
        neighbour of what `encode_lab` gives, where rounding decides between two that are equally near.
    """
    flat = rgb.reshape(-1, 1, 3)
    codes = np.empty((3, len(flat)), np.uint8)
    for start in range(0, len(flat), _BLOCK_PIXELS):
        block = slice(start, start + _BLOCK_PIXELS)
        _convert(flat[block], codes[:, block])
    return codes.reshape(3, *rgb.shape[:-1])


def _convert(rgb: Uint8Array, codes: Uint8Array) -> None:
    """Converts sRGB uint8 [n, 1, 3] to codes [3, n], by CIE's f of X/Xn, Y/Yn and Z/Zn (15:2018, section 8.2.1)."""
    t, above, interleaved = (array[: len(rgb)] for array in (_scratch.first, _scratch.second, _scratch.codes))
    cv2.LUT(rgb, _LINEAR, dst=above)
    cv2.transform(above, _XYZ_FROM_RGB, dst=t)
    np.maximum(t, np.float32(TOE_T), out=above)
    cv2.subtract(t, above, dst=t)  # 0 above the toe; in it f is a line that ends where the cube root begins
    np.cbrt(above, out=above)
    cv2.scaleAdd(t, _TOE_SLOPE, above, dst=above)
    cv2.transform(above, _CODES_FROM_F, dst=t)
    cv2.convertScaleAbs(t, dst=interleaved)  # rounded; none is below 0 by more than rounding
    for number, channel in enumerate(codes):
        cv2.extractChannel(interleaved, number, dst=channel[:, None])


def _codes_from_f() -> npt.NDArray[np.float32]:
    """The matrix from (f_x, f_y, f_z, 1) to codes: L = 116 f_y - 16, a = 500 (f_x - f_y), b = 200 (f_y - f_z)."""
    lab_from_f = np.array([[0, 116, 0, -16], [500, -500, 0, 0], [0, 200, -200, 0]], np.float64)
    lab_from_f[:, 3] -= CODE_LOW
    return np.asarray(lab_from_f / np.array(CODE_STEP)[:, None], np.float32)


_LINEAR = np.repeat(LINEAR_LIGHT[None, :, None], 3, axis=2)
_XYZ_FROM_RGB = RELATIVE_XYZ_FROM_RGB.astype(np.float32)
_TOE_SLOPE = float((np.cbrt(TOE_T) - TOE_OFFSET) / TOE_T)  # 7.787 has too few digits for the line to meet the root
_CODES_FROM_F = _codes_from_f()
