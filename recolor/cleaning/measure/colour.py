"""Numbers on the colours of pictures, from their CIELAB.

They are measured on small square copies, as no number needs a picture's shape, and on many copies at once: the sums
are over so few pixels that calling numpy for each would cost more than adding.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.measure.percentile import percentile
from recolor.color.lab import rgb_to_lab

COLOUR_PX = 48  # side of the copies: chroma subsampling and noise are averaged out there
BANDS = 3
HUE_BINS = 36
_LIGHTNESS_EDGES = (33.0, 66.0)
_LIGHTS = len(_LIGHTNESS_EDGES) + 1
_LAYOUT_HUES = 12
_STRETCHES = 24  # of lightness, each with as many pixels
_STEPS_OF_L = 600  # in one unit of lightness: finer than any two greys of 8 bits
_GREY_TOLERANCE = 4  # grey levels; saving it again as JPEG blurs the edge of the grey

Planes = NDArray[np.float32]
Floats = NDArray[np.float64]


def measure_colours(squares: NDArray[np.uint8]) -> dict[str, list[float] | list[bytes]]:
    """Measures colour on small copies of pictures.

    Args:
        squares: uint8 [N, 48, 48, 3], sRGB.

    Returns:
        The columns `schemas.COLOUR`, and `colour_layout` as the bytes of float32 [90]; N values each, that do not
        depend on the other pictures.
    """
    L, a, b = np.moveaxis(rgb_to_lab(squares), -1, 0)
    chroma = np.sqrt(a * a + b * b)
    light = _lights(L)
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
        "grey_tail": _grey_tail(squares),
        **_ab_residual(L, a, b),
        **_band_means(cells),
    }
    layouts = _layout(cells, hues).astype("<f4")
    return {
        **{name: values.tolist() for name, values in columns.items()},
        "colour_layout": [layout.tobytes() for layout in layouts],
    }


def _lights(L: Planes) -> NDArray[np.int64]:
    """Which third of lightness each pixel is in, 0 the darkest: int64 [N, H, W]."""
    light = np.zeros(L.shape, np.int64)
    for edge in _LIGHTNESS_EDGES:
        light += np.float32(edge) <= L
    return light


def _cell_sums(light: NDArray[np.int64], L: Planes, a: Planes, b: Planes) -> Floats:
    """Sums of 1, L, a, b, L², a², b² and ab over each cell, a third of lightness in a third of the height.

    Returns:
        float64 [8, N, 9], the cells from the top, and in each third of the height from black.
    """
    pictures, rows = light.shape[:2]
    third = np.arange(pictures)[:, None] * BANDS + np.arange(rows) * BANDS // rows
    cell = (third[:, :, None] * _LIGHTS + light).reshape(-1)
    planes = [plane.reshape(-1).astype(np.float64) for plane in (L, a, b)]
    values = [None, *planes, *(plane * plane for plane in planes), planes[1] * planes[2]]
    sums = [np.bincount(cell, value, pictures * BANDS * _LIGHTS) for value in values]
    return np.stack(sums).reshape(len(values), pictures, -1).astype(np.float64)


def _moments(sums: Floats) -> Floats:
    """Means of L, a and b, their variances and the covariance of a and b, from sums [8, ...]: float64 [7, ...]."""
    L, a, b, L_square, a_square, b_square, ab = sums[1:] / np.maximum(sums[0], 1)
    variances = (
        np.maximum(square - mean * mean, 0.0) for square, mean in ((L_square, L), (a_square, a), (b_square, b))
    )
    return np.stack([L, a, b, *variances, ab - a * b])


def _hue_sums(light: NDArray[np.int64], a: Planes, b: Planes, chroma: Planes) -> Floats:
    """Chroma in each hue of each third of lightness, summed: float64 [N, 3, 36], hues from 0° on."""
    turn = cv2.phase(a.reshape(-1), b.reshape(-1)) * np.float32(HUE_BINS / (2 * np.pi))
    hue = np.minimum(turn.reshape(-1).astype(np.int64), HUE_BINS - 1)
    cell = (np.arange(len(light))[:, None, None] * _LIGHTS + light).reshape(-1) * HUE_BINS + hue
    sums = np.bincount(cell, chroma.reshape(-1), len(light) * _LIGHTS * HUE_BINS)
    return np.asarray(sums.reshape(-1, _LIGHTS, HUE_BINS), np.float64)


def _cast(a: Planes, b: Planes, a_mean: Floats, b_mean: Floats) -> Planes:
    """How far even the greyest colours are from grey, in the direction of the mean colour; 0 if that is grey."""
    length = np.hypot(a_mean, b_mean)
    towards = np.where(length < 1e-3, 0.0, np.stack([a_mean, b_mean]) / np.maximum(length, 1e-3)).astype(np.float32)
    along = a * towards[0, :, None, None] + b * towards[1, :, None, None]
    return np.asarray(np.maximum(percentile(along, 5), np.float32(0)), np.float32)


def _hue_entropy(weights: Floats) -> Floats:
    """Entropy of histograms of hue, weighted by chroma, [N, 36]: 0 is one hue or none, 1 all hues alike."""
    total = weights.sum(axis=1, keepdims=True)
    share = weights / np.where(total < 1e-3, np.inf, total)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1) / np.log(HUE_BINS)
    return np.asarray(np.maximum(entropy, 0.0))


def _ab_residual(L: Planes, a: Planes, b: Planes) -> dict[str, Floats]:
    """What a curve over L leaves of a and b: nothing, if colour is a function of lightness alone.

    The curve is the best line in each of some stretches of L: a sepia that clips has corners that no cubic follows. The
    copies were averaged in sRGB, where grey, tints and duotones are straight lines that averaging keeps.
    """
    pictures = len(L)
    steps = np.rint(L * np.float32(_STEPS_OF_L)).astype(np.uint16)  # whole numbers are sorted in no time
    order = np.argsort(steps.reshape(pictures, -1), axis=1, kind="stable")
    planes = (np.take_along_axis(plane.reshape(pictures, -1), order, axis=1) for plane in (L, a, b))
    stretched = (plane.reshape(pictures, _STRETCHES, -1) for plane in planes)
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


def _grey_tail(squares: NDArray[np.uint8]) -> Floats:
    """Share of each picture, from any edge inwards, that is mid-grey: what a decoder fills in where data is missing.

    ITU-T T.81, A.3.1: samples are shifted by 128, so that a block of no coefficients is the grey of 128.
    """
    low, high = (128 - _GREY_TOLERANCE,) * 3, (128 + _GREY_TOLERANCE,) * 3
    grey = np.asarray(cv2.inRange(squares.reshape(-1, squares.shape[2], 3), low, high)).reshape(squares.shape[:3])
    rows, columns = grey.min(axis=2) > 0, grey.min(axis=1) > 0
    lines = np.stack([rows, rows[:, ::-1], columns, columns[:, ::-1]])
    return np.asarray(np.logical_and.accumulate(lines, axis=2).mean(axis=2).max(axis=0))


def _layout(cells: Floats, hues: Floats) -> Planes:
    """Where in a picture, and at which lightness, which colours are: skies are blue above, shadows bluish below.

    Returns:
        float32 [N, 90]. For each third of the height from the top, and in it for each third of lightness from black:
        its share of the third's pixels; then in the same order its mean a; mean b; variance of a; of b; covariance.
        Then for each third of lightness the chroma in 12 hues from -180° on, over the number of all pixels.
    """
    pictures, pixels = len(hues), cells[0, 0].sum()
    _, a_mean, b_mean, _, *moments = _moments(cells)
    coarse = hues.reshape(pictures, _LIGHTS, _LAYOUT_HUES, -1).sum(axis=3)
    from_half_turn = np.roll(coarse, _LAYOUT_HUES // 2, axis=2).reshape(pictures, -1) / pixels
    parts = [cells[0] * BANDS / pixels, a_mean, b_mean, *moments, from_half_turn]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _band_means(cells: Floats) -> dict[str, Floats]:
    """Mean a and b of the upper, middle and lower third: sky is blue above, grass is green below."""
    bands = cells.reshape(*cells.shape[:2], BANDS, _LIGHTS).sum(axis=3)
    means = bands[2:4] / bands[0]
    return {f"{name}_band_{band}": means[at, :, band] for band in range(BANDS) for at, name in enumerate("ab")}
