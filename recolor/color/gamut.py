"""Lightness taken from a photograph, and put together with a colour without being changed by it.

Where the sRGB gamut has no room for a colour at its lightness, the colour gives way: a and b are scaled by one factor,
so that the hue stays. Formulas and constants are those of `recolor.color.lab`.
"""

from collections.abc import Callable
from itertools import product
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import RGB
from recolor.color.lab import (
    RELATIVE_XYZ_FROM_RGB,
    RGB_FROM_RELATIVE_XYZ,
    TOE_F,
    TOE_OFFSET,
    TOE_SLOPE,
    TOE_T,
)
from recolor.color.srgb import linear_to_srgb, srgb_to_linear
from recolor.pipeline.parallel import on_all_cores

Float32Array = NDArray[np.float32]
RGB16 = NDArray[np.uint16]
Real = TypeVar("Real", np.float32, np.float64)

# Of what is worth a thread; a block's intermediate arrays, of a megabyte or less each, stay in the cache.
BLOCK_PIXELS = 1 << 16
_GAMUT = (-1e-6, 1 + 2e-5)  # of linear light: what clipping changes in between, by rounding, is below 0.002 L
_MOST_CHROMA = np.float32(134)  # of the sRGB gamut: that of its blue is 133.8
_BISECTIONS = 10  # find the chroma to 134/1024: a tenth of a unit or so
_STEPS = np.array((0, -1, 1), np.int16)  # away from the nearest code
_MARGIN = 3e-7  # of a luminance: so near to the border of a grey, float32 cannot tell on which side


def lightness_of(rgb: RGB | RGB16) -> Float32Array:
    """CIE lightness of sRGB.

    Args:
        rgb: uint8 or uint16 [H, W, 3], of the full range.

    Returns:
        float32 [H, W], 0..100, within 1e-4 of `skimage.color.rgb2lab`.
    """
    L = np.empty(rgb.shape[:2], np.float32)
    table = _LIGHT_8 if rgb.dtype == np.uint8 else _LIGHT_16

    def convert(rows: slice) -> None:
        pixels = rgb[rows]
        luminance = sum(table[channel].take(pixels[..., channel]) for channel in range(3))
        L[rows] = _lightness(np.asarray(luminance, np.float32))

    _over_blocks(convert, L.shape)
    return L


def join(L: Float32Array, ab: Float32Array) -> RGB:
    """8-bit sRGB, so rounded that the lightness of every pixel is still the one of `L`, in steps of 8-bit greys.

    Args:
        L: [H, W], 0..100.
        ab: [H, W, 2], Lab units.

    Returns:
        uint8 [H, W, 3]: the grey value round(255 g) of each pixel, g being the sRGB grey of its lightness, is that of
        `L`. The rounding of R, G and B that keeps it is taken, at most one code from the nearest; were there none, the
        grey itself.
    """
    rgb = np.empty((*L.shape, 3), np.uint8)

    def convert(rows: slice) -> None:
        rgb[rows] = _round_8(L[rows].ravel(), ab[rows].reshape(-1, 2)).reshape(rgb[rows].shape)

    _over_blocks(convert, L.shape)
    return rgb


def join16(L: Float32Array, ab: Float32Array) -> RGB16:
    """16-bit sRGB: as `join`, but rounded to the nearest code; its lightness is that of `L` within 0.002.

    Args:
        L: [H, W], 0..100.
        ab: [H, W, 2], Lab units.

    Returns:
        uint16 [H, W, 3], 0..65535.
    """
    rgb = np.empty((*L.shape, 3), np.uint16)

    def convert(rows: slice) -> None:
        values = linear_to_srgb(_linear_in_gamut(L[rows].ravel(), ab[rows].reshape(-1, 2))) * np.float32(65535)
        rgb[rows] = np.rint(values).reshape(rgb[rows].shape)

    _over_blocks(convert, L.shape)
    return rgb


def grey_of(L: Float32Array) -> Float32Array:
    """The sRGB grey, float32 [H, W] 0..1, of lightness [H, W] 0..100."""
    grey = np.empty_like(L)

    def convert(rows: slice) -> None:
        grey[rows] = _grey(L[rows])

    _over_blocks(convert, L.shape)
    return grey


def lightness_of_grey(grey: Float32Array) -> Float32Array:
    """The inverse of `grey_of`."""
    return _lightness(srgb_to_linear(grey))


def _over_blocks(convert: Callable[[slice], None], shape: tuple[int, ...]) -> None:
    """Calls `convert` with every slice of rows of an image of that shape, [H, W]."""
    height_px, width_px = shape
    rows = max(1, BLOCK_PIXELS // width_px)
    on_all_cores(convert, [slice(top, min(top + rows, height_px)) for top in range(0, height_px, rows)])


def _round_8(L: Float32Array, ab: Float32Array) -> RGB:
    """uint8 [n, 3] of L [n] and ab [n, 2]."""
    wanted = np.rint(_grey(L) * np.float32(255)).astype(np.uint8)
    values = linear_to_srgb(_linear_in_gamut(L, ab)) * np.float32(255)
    rgb: RGB = np.rint(values).astype(np.uint8)
    wrong = np.flatnonzero(~_has_grey(rgb, wanted))
    rgb[wrong] = _round_to_grey(values[wrong], wanted[wrong])
    return rgb


def _round_to_grey(values: Float32Array, wanted: RGB) -> RGB:
    """The codes closest to a colour that have the wanted grey, each at most one step away from the nearest code.

    Args:
        values: [n, 3], R, G and B, 0..255.
        wanted: [n], the grey.

    Returns:
        uint8 [n, 3]. Were there no such codes (of 12 million random colours there were for each), the grey's own.
    """
    codes = (np.rint(values.T).astype(np.int16) + _STEPS[:, None, None]).clip(0, 255)  # [steps, channels, n]
    far = np.square(codes - values.T)
    light = np.stack([_LIGHT_8[channel].take(codes[:, channel]) for channel in range(3)], axis=1)
    darkest, brightest = _DARKEST.take(wanted), _BRIGHTEST.take(wanted)
    best, least = np.zeros((3, len(values)), np.intp), np.full(len(values), np.inf, np.float32)
    for r, g, b in product(range(len(_STEPS)), repeat=3):
        luminance = light[r, 0] + light[g, 1] + light[b, 2]
        distance = far[r, 0] + far[g, 1] + far[b, 2]
        better = (luminance > darkest) & (luminance < brightest) & (distance < least)
        np.copyto(least, distance, where=better)
        np.copyto(best, np.array([[r], [g], [b]]), where=better)
    rgb = np.take_along_axis(codes, best[None], axis=0)[0].T
    return np.asarray(np.where(np.isfinite(least)[:, None], rgb, wanted[:, None]), np.uint8)


def _has_grey(rgb: RGB, wanted: RGB) -> NDArray[np.bool_]:
    """Whether the luminance of each uint8 [n, 3] is one that rounds to the wanted 8-bit grey [n]."""
    luminance = _LIGHT_8[0].take(rgb[:, 0]) + _LIGHT_8[1].take(rgb[:, 1]) + _LIGHT_8[2].take(rgb[:, 2])
    inside: NDArray[np.bool_] = (luminance > _DARKEST.take(wanted)) & (luminance < _BRIGHTEST.take(wanted))
    return inside


def _linear_in_gamut(L: Float32Array, ab: Float32Array) -> Float32Array:
    """Linear light [n, 3] of L [n] and ab [n, 2], 0..1, with as much of the chroma as the sRGB gamut has room for."""
    f = np.empty((len(L), 3), np.float32)
    f[:, 1] = (L + np.float32(16)) / np.float32(116)
    f[:, 0] = f[:, 1] + ab[:, 0] / np.float32(500)
    f[:, 2] = f[:, 1] - ab[:, 1] / np.float32(200)
    linear = _linear(f)
    outside = np.flatnonzero(~_in_gamut(linear))
    if len(outside):
        linear[outside] = _linear(_towards_grey(f[outside]))
    return np.clip(linear, 0, 1, out=linear)


def _towards_grey(f: Float32Array) -> Float32Array:
    """CIE's f_x, f_y, f_z [n, 3] with a and b scaled by the largest factor that brings them into the gamut.

    f_x - f_y = a / 500 and f_y - f_z = b / 200: the factor scales these differences, and f_y, the lightness, stays.
    """
    grey = f[:, 1:2]
    chroma = f - grey
    units = np.hypot(np.float32(500) * chroma[:, :1], np.float32(200) * chroma[:, 2:])
    inside, outside = np.zeros_like(grey), _MOST_CHROMA / np.maximum(units, _MOST_CHROMA)
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        good = _in_gamut(_linear(grey + middle * chroma))[:, None]
        inside, outside = np.where(good, middle, inside), np.where(good, outside, middle)
    return grey + inside * chroma


def _in_gamut(linear: Float32Array) -> NDArray[np.bool_]:
    low, high = _GAMUT
    inside = cv2.inRange(linear[:, None], (low, low, low), (high, high, high))
    return np.asarray(inside[:, 0] != 0)


def _linear(f: Float32Array) -> Float32Array:
    """Linear sRGB light [n, 3] of CIE's f_x, f_y, f_z [n, 3]."""
    return np.asarray(cv2.transform(_cube(f)[:, None], _RGB_FROM_XYZ)[:, 0], np.float32)


def _cube(f: Float32Array) -> Float32Array:
    """The inverse of CIE's f(t)."""
    return np.where(f > np.float32(TOE_F), f * f * f, (f - np.float32(TOE_OFFSET)) / np.float32(TOE_SLOPE))


def _grey(L: Float32Array) -> Float32Array:
    return linear_to_srgb(_cube((L + np.float32(16)) / np.float32(116)))


def _lightness(luminance: Float32Array) -> Float32Array:
    root = np.where(
        luminance > np.float32(TOE_T),
        np.cbrt(luminance),
        np.float32(TOE_SLOPE) * luminance + np.float32(TOE_OFFSET),
    )
    return np.float32(116) * root - np.float32(16)


def _luminance_table(values: int) -> Float32Array:
    """[3, values]: what each value of R, G and B adds to the luminance."""
    light = srgb_to_linear(np.arange(values) / (values - 1))
    return np.asarray(RELATIVE_XYZ_FROM_RGB[1][:, None] * light, np.float32)


def _grey_border(code: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the relative luminance of sRGB greys, given as 0..255."""
    return np.asarray(RELATIVE_XYZ_FROM_RGB[1].sum() * srgb_to_linear(code / 255))


_LIGHT_8, _LIGHT_16 = _luminance_table(256), _luminance_table(65536)
_RGB_FROM_XYZ = RGB_FROM_RELATIVE_XYZ.astype(np.float32)
_DARKEST = np.asarray(_grey_border(np.arange(256.0) - 0.5) * (1 + _MARGIN), np.float32)
_BRIGHTEST = np.asarray(_grey_border(np.arange(256.0) + 0.5) * (1 - _MARGIN), np.float32)
