"""Colour statistics of pictures, in CIELAB.

They are measured on small square copies, because none of them depends on the aspect ratio. Many copies are measured at
once: each has so few pixels that the overhead of numpy calls would exceed the arithmetic.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.measure.tones import measure_tones
from recolor.color.arrays import RGB, Floats
from recolor.color.lab import rgb_to_lab

COLOUR_PX = 48  # side of the copies; averages out chroma subsampling and noise
BANDS = 3
HUE_BINS = 36
_LIGHTNESS_EDGES = (33.0, 66.0)
_LIGHTS = len(_LIGHTNESS_EDGES) + 1
_LAYOUT_HUES = 12
_STRETCHES = 24  # segments of lightness with equal numbers of pixels
_STEPS_OF_L = 600  # per unit of lightness; finer than the distance of any two 8-bit greys

Planes = NDArray[np.float32]


def measure_colours(squares: RGB) -> dict[str, list[float] | list[bytes]]:
    """Measures colour on small copies of pictures.

    Args:
        squares: uint8 [N, 48, 48, 3], sRGB.

    Returns:
        The columns `schemas.COLOUR`, and `colour_layout` and `colour_tones` as the bytes of float32 [90] and [81]. Each
        has N values; the values of one picture do not depend on the others.
    """
    lab = rgb_to_lab(squares)
    L, a, b = np.moveaxis(lab, -1, 0)
    chroma = np.sqrt(a * a + b * b)
    light, order = _lights(L), _order_of_lightness(L)
    cells, hues = _cell_sums(light, L, a, b), _hue_sums(light, a, b, chroma)
    L_mean, a_mean, b_mean, L_variance, a_variance, b_variance, ab_covariance = _moments(cells.sum(axis=2))
    columns = {
        "L_mean": L_mean,
        "contrast": np.sqrt(L_variance),
        "a_mean": a_mean,
        "b_mean": b_mean,
        "a_std": np.sqrt(a_variance),
        "b_std": np.sqrt(b_variance),
        "ab_covariance": ab_covariance,
        "chroma_mean": hues.sum(axis=(1, 2)) / L[0].size,
        "chroma_p95": percentile(chroma, 95),
        "cast": _cast(a, b, a_mean, b_mean),
        "hue_entropy": _hue_entropy(hues.sum(axis=1)),
        **_ab_residual(_ordered(L, order), _ordered(a, order), _ordered(b, order)),
        **_band_means(cells),
    }
    layouts = _layout(cells, hues).astype("<f4")
    tones = measure_tones(squares, lab, _ordered(chroma, order)).astype("<f4")
    return {
        **{name: values.tolist() for name, values in columns.items()},
        "colour_layout": [layout.tobytes() for layout in layouts],
        "colour_tones": [tone.tobytes() for tone in tones],
    }


def _order_of_lightness(L: Planes) -> NDArray[np.intp]:
    """Returns the pixels of each picture from the darkest to the lightest: [N, pixels]."""
    steps = np.rint(L * np.float32(_STEPS_OF_L)).astype(np.uint16)  # integers sort faster
    return np.argsort(steps.reshape(len(L), -1), axis=1, kind="stable")


def _ordered(plane: Planes, order: NDArray[np.intp]) -> Planes:
    return np.take_along_axis(plane.reshape(len(plane), -1), order, axis=1)


def _lights(L: Planes) -> NDArray[np.int64]:
    """Returns the third of lightness of each pixel, 0 the darkest: int64 [N, H, W]."""
    light = np.zeros(L.shape, np.int64)
    for edge in _LIGHTNESS_EDGES:
        light += np.float32(edge) <= L
    return light


def _cell_sums(light: NDArray[np.int64], L: Planes, a: Planes, b: Planes) -> Floats:
    """Returns sums of 1, L, a, b, L², a², b², ab over cells: thirds of the height by thirds of L.

    Returns:
        float64 [8, N, 9]; the cells are ordered from the top, and within each third of the height from black.
    """
    pictures, rows = light.shape[:2]
    third = np.arange(pictures) * BANDS + (np.arange(rows) * BANDS // rows)[:, None]
    # Picture after picture for each pixel: additions to one cell that follow one another wait for each other.
    cell = (third[:, None] * _LIGHTS + light.transpose(1, 2, 0)).reshape(-1)
    planes = [plane.transpose(1, 2, 0).astype(np.float64, order="C").reshape(-1) for plane in (L, a, b)]
    values = [None, *planes, *(plane * plane for plane in planes), planes[1] * planes[2]]
    sums = [np.bincount(cell, value, pictures * BANDS * _LIGHTS) for value in values]
    return np.stack(sums).reshape(len(values), pictures, -1).astype(np.float64)


def _moments(sums: Floats) -> Floats:
    """Returns means and variances of L, a, b and the ab covariance, from sums [8, ...]: float64 [7, ...]."""
    L, a, b, L_square, a_square, b_square, ab = sums[1:] / np.maximum(sums[0], 1)
    variances = (
        np.maximum(square - mean * mean, 0.0) for square, mean in ((L_square, L), (a_square, a), (b_square, b))
    )
    return np.stack([L, a, b, *variances, ab - a * b])


def _hue_sums(light: NDArray[np.int64], a: Planes, b: Planes, chroma: Planes) -> Floats:
    """Returns the sum of chroma per third of lightness and hue: float64 [N, 3, 36], hues from 0°."""
    turn = cv2.phase(a.reshape(-1), b.reshape(-1)) * np.float32(HUE_BINS / (2 * np.pi))
    hue = np.minimum(turn.reshape(-1).astype(np.int64), HUE_BINS - 1)
    cell = (np.arange(len(light))[:, None, None] * _LIGHTS + light).reshape(-1) * HUE_BINS + hue
    sums = np.bincount(cell, chroma.reshape(-1), len(light) * _LIGHTS * HUE_BINS)
    return np.asarray(sums.reshape(-1, _LIGHTS, HUE_BINS), np.float64)


def _cast(a: Planes, b: Planes, a_mean: Floats, b_mean: Floats) -> Planes:
    """Returns the distance of the greyest colours from grey, along the mean colour; 0 if that is grey."""
    length = np.hypot(a_mean, b_mean)
    towards = np.where(length < 1e-3, 0.0, np.stack([a_mean, b_mean]) / np.maximum(length, 1e-3)).astype(np.float32)
    along = a * towards[0, :, None, None] + b * towards[1, :, None, None]
    return np.asarray(np.maximum(percentile(along, 5), np.float32(0)), np.float32)


def _hue_entropy(weights: Floats) -> Floats:
    """Returns the entropy of chroma-weighted hue histograms [N, 36]: 0 is one hue, 1 all equally."""
    total = weights.sum(axis=1, keepdims=True)
    share = weights / np.where(total < 1e-3, np.inf, total)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1) / np.log(HUE_BINS)
    return np.asarray(np.maximum(entropy, 0.0))


def _ab_residual(L: Planes, a: Planes, b: Planes) -> dict[str, Floats]:
    """Returns the residual of a and b after fitting a curve over L: 0 if colour is a function of L.

    The curve is a least-squares line in each of 24 segments of L, because a clipped sepia has corners that no cubic
    fits. The copies were averaged in sRGB, where greys, tints and duotones are straight lines, which averaging keeps.

    Args:
        L: Lightness of each picture in ascending order: [N, pixels].
        a: Of the same pixels.
        b: Of the same pixels.
    """
    stretched = (plane.reshape(len(plane), _STRETCHES, -1) for plane in (L, a, b))
    L, a, b = (plane - plane.mean(axis=2, keepdims=True) for plane in stretched)
    spread = np.einsum("nsp,nsp->ns", L, L) + np.float32(1e-6)
    a, b = (plane - L * (np.einsum("nsp,nsp->ns", L, plane) / spread)[:, :, None] for plane in (a, b))
    square = a * a + b * b
    of_stretches = square.mean(axis=2, dtype=np.float64)
    return {
        "ab_residual": np.sqrt(of_stretches.mean(axis=1)),
        "ab_residual_p90": np.sqrt(percentile(square, 90), dtype=np.float64),
        "ab_residual_median": np.sqrt(np.median(of_stretches, axis=1)),
    }


def _layout(cells: Floats, hues: Floats) -> Planes:
    """Returns the distribution of colours over height and lightness.

    Returns:
        float32 [N, 90]. First six groups of 9 numbers, one per cell, for each third of the height from the top and
        within it each third of lightness from black: the share of the third's pixels; mean a; mean b; variance of a;
        variance of b; covariance. Then, for each third of lightness, the sum of chroma in 12 hues from -180° on,
        divided by the number of pixels.
    """
    pictures, pixels = len(hues), cells[0, 0].sum()
    _, a_mean, b_mean, _, *moments = _moments(cells)
    coarse = hues.reshape(pictures, _LIGHTS, _LAYOUT_HUES, -1).sum(axis=3)
    from_half_turn = np.roll(coarse, _LAYOUT_HUES // 2, axis=2).reshape(pictures, -1) / pixels
    parts = [cells[0] * BANDS / pixels, a_mean, b_mean, *moments, from_half_turn]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _band_means(cells: Floats) -> dict[str, Floats]:
    """Returns the mean a and b of the upper, middle and lower third of each picture."""
    bands = cells.reshape(*cells.shape[:2], BANDS, _LIGHTS).sum(axis=3)
    means = bands[2:4] / bands[0]
    return {f"{name}_band_{band}": means[at, :, band] for band in range(BANDS) for at, name in enumerate("ab")}


def percentile(values: NDArray[np.floating[Any]], percent: int) -> NDArray[np.floating[Any]]:
    """Returns the value below which `percent` of the values of each array lie.

    It is one of the values, without interpolation, which is five times as fast as `numpy.percentile`.

    Args:
        values: [N, ...], none of the N empty.
        percent: 0..99.

    Returns:
        [N], of the same type.
    """
    flat = values.reshape(len(values), -1)
    at = flat.shape[1] * percent // 100
    found: NDArray[np.floating[Any]] = np.partition(flat, at, axis=1)[:, at]
    return found
