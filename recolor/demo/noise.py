"""Fractal noise for clouds, terrain and textures."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.color.srgb import srgb_to_linear

Array = NDArray[np.float32]

FRACTAL_PX = 512
_SHEET_PX = 1024
_SHEETS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Fractal:
    """Parameters of fractal noise (fractional Brownian motion).

    Attributes:
        cells: Cells of the coarsest octave along a side of 512.
        octaves: Number of octaves, each twice as fine as the one before.
        gain: Strength of an octave relative to the one before.
        ridged: Folds each octave at zero into crests, as mountains have them (Musgrave's ridged multifractal).
    """

    cells: int
    octaves: int
    gain: float = 0.5
    ridged: bool = False


def value_noise(rng: np.random.Generator, height_px: int, width_px: int, cells_y: float, cells_x: float) -> Array:
    """Returns smooth random values: a grid of random numbers enlarged with a cubic filter.

    Args:
        rng: Source of the grid.
        height_px: Rows of the result.
        width_px: Columns of the result.
        cells_y: Cells of the grid from top to bottom.
        cells_x: Cells of the grid from left to right.

    Returns:
        float32 [height_px, width_px], about -1..1, mean about 0.
    """
    grid = rng.random((max(2, round(cells_y) + 1), max(2, round(cells_x) + 1)), np.float32)
    return resized(2.0 * grid - 1.0, height_px, width_px)


def fractal_noise(rng: np.random.Generator, kind: Fractal) -> Array:
    """Returns fractal noise: a random, randomly mirrored part of a large sheet.

    Args:
        rng: Chooses the part.
        kind: Parameters of the noise.

    Returns:
        float32 [512, 512], about -1..1.
    """
    sheet = _sheet(kind, int(rng.integers(_SHEETS)))
    top, left = rng.integers(0, _SHEET_PX - FRACTAL_PX, 2)
    part = sheet[top : top + FRACTAL_PX, left : left + FRACTAL_PX]
    flip_rows, flip_columns = (1 - 2 * rng.integers(0, 2, 2)).tolist()
    return np.ascontiguousarray(part[::flip_rows, ::flip_columns])


@cache
def _sheet(kind: Fractal, number: int) -> Array:
    """Returns the sum of octaves of `value_noise`, float32 [1024, 1024].

    Each octave is twice as fine and `gain` times as strong as the one before.
    """
    rng = np.random.Generator(np.random.Philox(number))
    cells, octaves, gain, size_px = 2 * kind.cells, kind.octaves, kind.gain, _SHEET_PX
    total = np.zeros((8, 8), np.float32)
    strength = np.float32((1.0 - gain) / (1.0 - gain**octaves) * 1.4)
    for octave in range(octaves):
        count = min(cells << octave, size_px)
        # Coarse octaves are summed at a coarse resolution: eight pixels a cell represent them fully.
        side_px = size_px if octave == octaves - 1 else min(8 * count, size_px)
        total = resized(total, side_px, side_px) if side_px != len(total) else total
        noise = value_noise(rng, side_px, side_px, count, count)
        total += strength * (0.7 - 2.0 * np.abs(noise) if kind.ridged else noise)
        strength *= np.float32(gain)
    return total


def resized(values: Array, height_px: int, width_px: int) -> Array:
    """Enlarges an array with a cubic filter."""
    return np.asarray(cv2.resize(values, (width_px, height_px), interpolation=cv2.INTER_CUBIC), np.float32)


def sampled(texture: Array, x: Array, y: Array, border: int = cv2.BORDER_REFLECT) -> Array:
    """Reads a texture ([H,W] or [H,W,C]) at fractional positions, linearly interpolated."""
    return np.asarray(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=border), np.float32)


def rows_within(values: Array, low: float, high: float) -> slice:
    """Returns the rows from the first to the last with a value in the bounds; at least one."""
    rows = np.flatnonzero(((values > low) & (values < high)).any(axis=1))
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 1)


def smoothstep(low: float | Array, high: float | Array, values: Array) -> Array:
    """Returns 0 below `low`, 1 above `high`, and a smooth cubic between."""
    t = np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), np.float32)
    curve = 3.0 - 2.0 * t
    curve *= t
    curve *= t
    return curve


def mixed(first: Array, second: Array, share: Array) -> Array:
    """Blends colours [..., 3] by a share [...] of the second."""
    blend = np.empty((*share.shape, 3), np.float32)
    for channel in range(3):  # channel by channel: numpy is slow on a last axis of three
        start = first[..., channel]
        blend[..., channel] = start + (second[..., channel] - start) * share
    return blend


@cache
def linear(*hex_codes: int) -> Array:
    """Converts sRGB colours such as 0x3f7ec8 to linear light, float32 [3] or [n, 3], which cannot be written to."""
    codes = np.array(hex_codes, np.int64)[:, None] >> np.array([16, 8, 0]) & 255
    light = srgb_to_linear(codes / 255.0).astype(np.float32)
    light.setflags(write=False)  # all callers have the same array
    return np.asarray(light[0] if len(hex_codes) == 1 else light, np.float32)
