"""Numbers on the colours of a picture, from its CIELAB."""

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.lab import rgb_to_lab

BANDS = 3
HUE_BINS = 36

Plane = NDArray[np.float32]


def measure_colour(rgb: NDArray[np.uint8], side_px: int) -> dict[str, float]:
    """Measures colour on a small copy of a picture.

    Args:
        rgb: uint8 [H, W, 3], sRGB.
        side_px: Long side of the copy.

    Returns:
        The columns `schemas.COLOUR`.
    """
    lab = rgb_to_lab(shrink(rgb, side_px))
    L, a, b = (np.ascontiguousarray(lab[..., channel]) for channel in range(3))
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
        "ab_residual": _ab_residual(L, a, b),
        **_band_means(a, b),
    }


def shrink(rgb: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Area-averages a picture down to a long side; smaller pictures stay as they are."""
    height, width = rgb.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _mean(values: Plane) -> float:
    return float(values.mean(dtype=np.float64))


def _percentile(values: Plane, percent: int) -> float:
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


def _ab_residual(L: Plane, a: Plane, b: Plane) -> float:
    """Root mean square of what a cubic in L leaves of a and b: 0 if colour is a function of lightness alone."""
    x = (L.reshape(-1).astype(np.float64) - 50.0) / 50.0
    powers = np.stack([np.ones_like(x), x, x * x, x * x * x])
    ab = np.stack([a.reshape(-1), b.reshape(-1)]).astype(np.float64)
    # A little ridge keeps a picture of one lightness solvable, and changes less than rounding does elsewhere.
    gram = powers @ powers.T + 1e-6 * x.size * np.eye(4)
    left = ab - np.linalg.solve(gram, powers @ ab.T).T @ powers
    return float(np.sqrt((left * left).sum() / x.size))


def _band_means(a: Plane, b: Plane) -> dict[str, float]:
    """Mean a and b of the upper, middle and lower third: sky is blue above, grass is green below."""
    numbers = {}
    edges = np.linspace(0, len(a), BANDS + 1).round().astype(int).tolist()
    for band in range(BANDS):
        rows = slice(edges[band], edges[band + 1]) if edges[band] < edges[band + 1] else slice(None)
        numbers[f"a_band_{band}"], numbers[f"b_band_{band}"] = _mean(a[rows]), _mean(b[rows])
    return numbers
