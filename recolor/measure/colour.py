"""Numbers on the colours of a picture, from its CIELAB."""

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.lab import rgb_to_lab

BANDS = 3
HUE_BINS = 36
_LIGHTNESS_EDGES = (33.0, 66.0)
_LAYOUT_HUES = 12
_RESIDUAL_PX = 48  # where chroma subsampling and noise are averaged out
_KNOTS = 24
_GREY_TOLERANCE = 4  # grey levels; saving it again as JPEG blurs the edge of the grey

Plane = NDArray[np.float32]


def measure_colour(rgb: NDArray[np.uint8], side_px: int) -> dict[str, float | list[float]]:
    """Measures colour on a small copy of a picture.

    Args:
        rgb: uint8 [H, W, 3], sRGB.
        side_px: Long side of the copy.

    Returns:
        The columns `schemas.COLOUR`, and `colour_layout`.
    """
    small = shrink(rgb, side_px)
    L, a, b = _planes(small)
    chroma = np.sqrt(a * a + b * b)
    a_mean, b_mean = _mean(a), _mean(b)
    return {
        "L_mean": _mean(L),
        "contrast": float(L.std(dtype=np.float64)),
        "a_mean": a_mean,
        "b_mean": b_mean,
        "a_std": float(a.std(dtype=np.float64)),
        "b_std": float(b.std(dtype=np.float64)),
        "ab_covariance": _mean(a * b) - a_mean * b_mean,
        "chroma_mean": _mean(chroma),
        "chroma_p95": _percentile(chroma, 95),
        "cast": _cast(a, b, a_mean, b_mean),
        "hue_entropy": _hue_entropy(a, b, chroma),
        "grey_tail": _grey_tail(small),
        **_ab_residual(shrink(small, _RESIDUAL_PX)),
        **_band_means(a, b),
        "colour_layout": colour_layout(L, a, b).tolist(),
    }


def _planes(rgb: NDArray[np.uint8]) -> tuple[Plane, Plane, Plane]:
    lab = rgb_to_lab(rgb)
    return tuple(np.ascontiguousarray(lab[..., channel]) for channel in range(3))  # type: ignore[return-value]  # three


def shrink(rgb: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Area-averages a picture down to a long side; smaller pictures stay as they are.

    Halved first, while that leaves enough: means of 2x2 are ten times as fast as of any other size.
    """
    while max(rgb.shape[:2]) >= 2 * side_px and min(rgb.shape[:2]) > 1:
        height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
        even = rgb[: 2 * height, : 2 * width]
        rgb = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    height, width = rgb.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _mean(values: Plane) -> float:
    return float(values.mean(dtype=np.float64))


def _percentile(values: NDArray[np.floating], percent: int) -> float:
    """The value below which `percent` of the values lie (no interpolation: five times as fast as numpy's)."""
    at = min(values.size - 1, values.size * percent // 100)
    return float(np.partition(values, at, axis=None)[at])


def _cast(a: Plane, b: Plane, a_mean: float, b_mean: float) -> float:
    """How far even the greyest colours are from grey, in the direction of the mean colour."""
    length = float(np.hypot(a_mean, b_mean))
    if length < 1e-3:
        return 0.0
    return max(0.0, _percentile(a * np.float32(a_mean / length) + b * np.float32(b_mean / length), 5))


def _hue_entropy(a: Plane, b: Plane, chroma: Plane) -> float:
    """Entropy of the histogram of hue, weighted by chroma: 0 is one hue, 1 all hues alike."""
    turns = cv2.phase(a, b) * np.float32(HUE_BINS / (2 * np.pi))
    bins = np.minimum(turns.astype(np.int64), HUE_BINS - 1)
    weights = np.bincount(bins.reshape(-1), weights=chroma.reshape(-1), minlength=HUE_BINS)
    total = float(weights.sum())
    if total < 1e-3:
        return 0.0
    share = weights[weights > 0] / total
    return max(0.0, float(-(share * np.log(share)).sum() / np.log(HUE_BINS)))


def _ab_residual(rgb: NDArray[np.uint8]) -> dict[str, float]:
    """What a curve over L leaves of a and b: nothing, if colour is a function of lightness alone.

    The curve is the best piecewise linear one with corners at quantiles of L: a sepia that clips has corners that no
    cubic follows. The copy is averaged in sRGB, where grey, tints and duotones are straight lines that averaging keeps.
    """
    L, *ab = (plane.reshape(-1).astype(np.float64) for plane in _planes(rgb))
    knots = np.unique(np.sort(L)[np.linspace(0, L.size - 1, _KNOTS).round().astype(np.intp)])
    if len(knots) < 2:
        knots = np.array([knots[0] - 1.0, knots[0] + 1.0])
    left = np.clip(np.searchsorted(knots, L, side="right") - 1, 0, len(knots) - 2)
    share = (L - knots[left]) / (knots[left + 1] - knots[left])
    weights = np.stack([1.0 - share, share])

    def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of values [2, pixels], the first at the knot to the left of each pixel, the second at that to the right."""
        lower = np.bincount(left, values[0], len(knots))
        return np.asarray(lower + np.bincount(left + 1, values[1], len(knots)))

    # Normal equations; a little ridge keeps a knot that nothing is near to solvable.
    beside = np.diag(np.bincount(left, share * (1.0 - share), len(knots))[:-1], 1)
    gram = np.diag(sums(weights * weights) + 1e-3) + beside + beside.T
    curve = np.linalg.solve(gram, np.stack([sums(weights * plane) for plane in ab], axis=1))
    square = sum((plane - weights[0] * at[left] - weights[1] * at[left + 1]) ** 2 for plane, at in zip(ab, curve.T))
    return {"ab_residual": float(np.sqrt(np.mean(square))), "ab_residual_p90": float(np.sqrt(_percentile(square, 90)))}


def _grey_tail(rgb: NDArray[np.uint8]) -> float:
    """Share of the picture, from any edge inwards, that is mid-grey: what a decoder fills in where data is missing.

    ITU-T T.81, A.3.1: samples are shifted by 128, so that a block of no coefficients is the grey of 128.
    """
    grey = cv2.inRange(rgb, (128 - _GREY_TOLERANCE,) * 3, (128 + _GREY_TOLERANCE,) * 3)
    rows, columns = np.atleast_1d(grey.all(axis=1)), np.atleast_1d(grey.all(axis=0))
    lines = (rows, rows[::-1], columns, columns[::-1])
    return max(float(np.logical_and.accumulate(line).mean()) for line in lines)


def colour_layout(L: Plane, a: Plane, b: Plane) -> NDArray[np.float32]:
    """Where in the picture, and at which lightness, which colours are: skies are blue above, shadows bluish below.

    Args:
        L: float32 [H, W], 0..100.
        a: float32 [H, W].
        b: float32 [H, W].

    Returns:
        float32 [90]. For each third of the height from the top, and in it for each third of lightness from black: its
        share of the third's pixels; then in the same order its mean a; mean b; variance of a; of b; covariance. Then
        for each third of lightness the chroma in 12 hues from -180° on, over the number of all pixels.
    """
    rows = np.minimum(np.arange(len(L)) * BANDS // len(L), BANDS - 1)
    light = np.digitize(L, _LIGHTNESS_EDGES)
    cell = (rows[:, None] * 3 + light).reshape(-1)
    count = np.bincount(cell, minlength=9)

    def mean(values: Plane) -> NDArray[np.float64]:
        return np.asarray(np.bincount(cell, values.reshape(-1), 9) / np.maximum(count, 1))

    a_mean, b_mean = mean(a), mean(b)
    moments = (mean(a * a) - a_mean**2, mean(b * b) - b_mean**2, mean(a * b) - a_mean * b_mean)
    turns = (np.arctan2(b, a) + np.float32(np.pi)) * np.float32(_LAYOUT_HUES / (2 * np.pi))
    hue = light.reshape(-1) * _LAYOUT_HUES + turns.reshape(-1).astype(np.int64) % _LAYOUT_HUES
    hues = np.bincount(hue, np.hypot(a, b).reshape(-1), 3 * _LAYOUT_HUES) / L.size
    return np.concatenate([count * BANDS / L.size, a_mean, b_mean, *moments, hues]).astype(np.float32)


def _band_means(a: Plane, b: Plane) -> dict[str, float]:
    """Mean a and b of the upper, middle and lower third: sky is blue above, grass is green below."""
    numbers = {}
    edges = np.linspace(0, len(a), BANDS + 1).round().astype(int).tolist()
    for band in range(BANDS):
        rows = slice(edges[band], edges[band + 1]) if edges[band] < edges[band + 1] else slice(None)
        numbers[f"a_band_{band}"], numbers[f"b_band_{band}"] = _mean(a[rows]), _mean(b[rows])
    return numbers
