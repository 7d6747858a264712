"""sRGB to CIELAB and back in numpy, and the code book that stores Lab as bytes.

CIELAB of CIE 15:2018 (D65, 2° observer) from sRGB of IEC 61966-2-1, with the constants of `skimage.color`, so that
the two agree to rounding. Colours are exact (a table of the 256 sRGB values, a matrix, a cube root): `cv2.cvtColor`
interpolates in a table even for float32 and is off by up to 0.5 ΔE.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from recolor.color.srgb import linear_to_srgb, srgb_to_linear

# Intermediate arrays of a block stay in the cache and in the allocator's hands; those of a whole image would come
# from the system and go back to it each time, at twice the cost of the arithmetic.
_BLOCK_PIXELS = 8192

Float32Array = npt.NDArray[np.float32]
Uint8Array = npt.NDArray[np.uint8]

# Linear sRGB to XYZ, and the white point of D65/2° (both as in skimage.color.colorconv).
XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], np.float64
)
WHITE_XYZ = np.array([0.95047, 1.0, 1.08883], np.float64)

# XYZ relative to the white: folding the white into the matrix saves a division for each pixel.
RELATIVE_XYZ_FROM_RGB = XYZ_FROM_RGB / WHITE_XYZ[:, None]
RGB_FROM_RELATIVE_XYZ = np.linalg.inv(RELATIVE_XYZ_FROM_RGB)

# CIE 15:2018, section 8.2.1: f(t) = t^(1/3) above TOE_T, and the line TOE_SLOPE t + TOE_OFFSET below.
TOE_T = 0.008856
TOE_F = 0.2068966
TOE_SLOPE = 7.787
TOE_OFFSET = 16.0 / 116.0

# The code book: code c of a channel means LOW + c STEP. The ranges of a and b are those of the sRGB gamut.
CODE_LOW: tuple[float, float, float] = (0.0, -86.2, -107.9)
CODE_HIGH: tuple[float, float, float] = (100.0, 98.3, 94.5)
CODE_STEP: tuple[float, ...] = tuple((high - low) / 255 for low, high in zip(CODE_LOW, CODE_HIGH))


def rgb_to_lab(rgb: Uint8Array) -> Float32Array:
    """Converts sRGB to CIELAB.

    Args:
        rgb: uint8 [..., 3], 0..255.

    Returns:
        float32 [..., 3]: L 0..100, a and b in Lab units (about -86..98 and -108..94); within 1e-3 ΔE76 of
        `skimage.color.rgb2lab` in float64. It lies in memory channel by channel, as shards do, and is the faster for
        it: a view of [3, ...].
    """
    flat = rgb.reshape(-1, 3)
    lab = np.empty((3, len(flat)), np.float32)
    for start in range(0, len(flat), _BLOCK_PIXELS):
        block = slice(start, start + _BLOCK_PIXELS)
        linear = LINEAR_LIGHT.take(flat[block].T)
        fx, fy, fz = _cube_root(_mix(_F32_XYZ_FROM_RGB, linear))
        lab[0, block] = np.float32(116) * fy - np.float32(16)
        lab[1, block] = np.float32(500) * (fx - fy)
        lab[2, block] = np.float32(200) * (fy - fz)
    return np.moveaxis(lab.reshape(3, *rgb.shape[:-1]), 0, -1)


def lab_to_rgb(lab: npt.NDArray[np.floating[Any]]) -> Uint8Array:
    """Converts CIELAB to sRGB; colours outside of the gamut are clipped channel by channel.

    Args:
        lab: [..., 3], any float type; computed in float32.

    Returns:
        uint8 [..., 3], rounded; the exact inverse of `rgb_to_lab` for every uint8 colour.
    """
    lightness, a, b = np.moveaxis(lab.astype(np.float32, copy=False), -1, 0)
    fy = (lightness + np.float32(16)) / np.float32(116)
    fz = np.maximum(fy - b / np.float32(200), np.float32(0))  # as skimage does: no light of less than nothing
    linear = _mix(_F32_RGB_FROM_XYZ, _cube(np.stack((fy + a / np.float32(500), fy, fz))))
    rgb = np.empty(lab.shape, np.uint8)
    rgb[...] = np.moveaxis(np.rint(linear_to_srgb(np.clip(linear, 0.0, 1.0)) * np.float32(255)), 0, -1)
    return rgb


def encode_lab(lab: npt.NDArray[np.floating[Any]]) -> Uint8Array:
    """Rounds Lab to the nearest code of the code book; what lies outside of its ranges is clipped.

    Args:
        lab: [..., 3], any float type.

    Returns:
        uint8 [..., 3] of the same shape. Over the sRGB gamut the mean error is 0.31 ΔE76, the largest 0.57.
    """
    scaled = (lab.astype(np.float32, copy=False) - _LOW) * _CODES_PER_UNIT
    codes: Uint8Array = np.rint(np.clip(scaled, 0.0, 255.0, out=scaled), out=scaled).astype(np.uint8)
    return codes


def decode_lab(codes: Uint8Array) -> Float32Array:
    """The Lab values that codes stand for.

    Args:
        codes: uint8 [..., 3].

    Returns:
        float32 [..., 3]: `CODE_LOW + codes * CODE_STEP`.
    """
    return codes.astype(np.float32) * _STEP + _LOW


def _linear_table() -> Float32Array:
    """Linear light of each of the 256 sRGB values (IEC 61966-2-1)."""
    return srgb_to_linear(np.arange(256, dtype=np.float64) / 255).astype(np.float32)


def _mix(matrix: Float32Array, channels: Float32Array) -> Float32Array:
    """Multiplies each pixel's three channels [3, ...] by a 3x3 matrix; not by BLAS, which would start threads."""
    mixed: Float32Array = np.einsum("ij,j...->i...", matrix, channels)
    return mixed


def _cube_root(t: Float32Array) -> Float32Array:
    """CIE's f(t)."""
    return np.where(t > np.float32(TOE_T), np.cbrt(t), np.float32(TOE_SLOPE) * t + np.float32(TOE_OFFSET))


def _cube(f: Float32Array) -> Float32Array:
    """The inverse of CIE's f(t)."""
    return np.where(f > np.float32(TOE_F), f * f * f, (f - np.float32(TOE_OFFSET)) / np.float32(TOE_SLOPE))


LINEAR_LIGHT = _linear_table()
_F32_XYZ_FROM_RGB = RELATIVE_XYZ_FROM_RGB.astype(np.float32)
_F32_RGB_FROM_XYZ = RGB_FROM_RELATIVE_XYZ.astype(np.float32)
_LOW = np.array(CODE_LOW, np.float32)
_STEP = np.array(CODE_STEP, np.float32)
_CODES_PER_UNIT = (1 / np.array(CODE_STEP, np.float64)).astype(np.float32)
