"""Suggests a threshold where the scores of a data set form two groups and the current threshold cuts through one.

A detector's score is calibrated on other images; another camera, size or compression may shift the scores of a whole
data set. Where outliers and good images are two separate groups, the data show the threshold: it belongs into the gap
between them. Where there is one group with a tail, no rule finds a better threshold than the default, so none is
suggested. `docs/decisions/2026-11-exposure-and-suggestions.md` measures this.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from recolor.color.arrays import Floats

MIN_IMAGES = 50  # fewer images do not show a distribution
MIN_OUTLIERS = 10  # fewer images are no group
MAX_DEPTH = 0.25  # density in the gap over that of the lower of the two modes
MIN_CUT = 0.25  # density at the current threshold over that of the mode on its side of the gap
REACH = 3.0  # log-odds from the score 0.5; farther gaps lie between heavy and light outliers
_CONFIDENCE = 0.99  # of the bootstrap
_RESAMPLES = 200
_END = 9.0  # log-odds beyond this count as this
_BINS = 256
_WIDTH = 0.5  # standard deviation of the smoothing, in log-odds


@dataclass(frozen=True, slots=True)
class _Gap:
    """A gap of a smoothed density: its deepest bin, and the bins of the modes to its left and right."""

    at: int
    left: int
    right: int


def suggest_threshold(scores: Floats, present: float = 0.5) -> float | None:
    """Returns the threshold in the gap between two groups of scores.

    The density of the log-odds, ln(score / (1 - score)), is smoothed. A gap separates two modes, one of which the
    detector takes for outliers (score below 0.5) and the larger of which for good images. In the gap, the density must
    be at most half of that of the lower mode, also in 99% of the bootstrap's resamples.

    Args:
        scores: float64 [images], 0..1; 0 is certainly an outlier.
        present: The current threshold.

    Returns:
        A threshold in 0..1 with two digits; None if there is no such gap, or if the current threshold lies in it.
    """
    if len(scores) < MIN_IMAGES:
        return None
    x = np.clip(log_odds(scores), -_END, _END)
    counts, edges = np.histogram(x, _BINS, (-_END, _END))
    density = _smooth(counts.astype(np.float64))
    gap = _deepest_gap(counts.astype(np.float64), density)
    if gap is None or not _is_significant(counts.astype(np.float64), gap):
        return None
    now = int(np.clip(np.searchsorted(edges, log_odds(np.array([present]))[0]) - 1, 0, _BINS - 1))
    if density[now] < MIN_CUT * density[gap.right if now > gap.at else gap.left]:
        return None
    middle = _middle_of_floor(density, gap)
    return _two_digits(float(1 / (1 + np.exp(-(edges[middle] + edges[middle + 1]) / 2))))


def log_odds(scores: Floats) -> Floats:
    """Returns ln(score / (1 - score)) of scores clipped to 1e-9..1 - 1e-9."""
    inside = np.clip(scores, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _smooth(counts: Floats) -> Floats:
    """Returns counts [..., bins] smoothed by a Gaussian along the last axis; no count is lost at the ends."""
    return counts @ _kernel()


@cache
def _kernel() -> Floats:
    steps = np.subtract.outer(np.arange(_BINS), np.arange(_BINS)) * (2 * _END / _BINS / _WIDTH)
    weights = np.exp(-0.5 * steps**2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _deepest_gap(counts: Floats, density: Floats) -> _Gap | None:
    """Returns the gap with the least density relative to the lower of its two modes; None if there is none.

    To its left are at least `MIN_OUTLIERS` and at most half of the images. The median of either side is on its side of
    the log-odds 0.
    """
    below, bins = np.cumsum(counts), np.arange(_BINS)
    total, middle = below[-1], _BINS // 2
    outliers = np.concatenate([[0.0], below[:-1]])  # to the left of each bin
    left_median_is_low = outliers <= 2 * below[middle - 1]
    right_median_is_high = total - below <= 2 * (total - below[middle - 1])
    near = np.abs(bins + 0.5 - middle) * (2 * _END / _BINS) <= REACH
    allowed = near & (outliers >= MIN_OUTLIERS) & (outliers <= total / 2) & left_median_is_low & right_median_is_high
    left, right = np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]
    depth = np.where(allowed, density / np.maximum(np.minimum(left, right), 1e-12), np.inf)
    at = int(np.argmin(depth))
    if depth[at] > MAX_DEPTH:
        return None
    return _Gap(
        at, int(np.argmax(np.where(bins <= at, density, -1))), int(np.argmax(np.where(bins >= at, density, -1)))
    )


def _is_significant(counts: Floats, gap: _Gap) -> bool:
    """Returns whether the gap is deep enough in nearly all resamples of the images (Efron 1979)."""
    total = int(counts.sum())
    resampled = np.random.default_rng(0).multinomial(total, counts / total, _RESAMPLES)
    density = _smooth(resampled.astype(np.float64))
    depth = density[:, gap.at] / np.maximum(np.minimum(density[:, gap.left], density[:, gap.right]), 1e-12)
    return bool(np.quantile(depth, _CONFIDENCE) <= MAX_DEPTH)


def _middle_of_floor(density: Floats, gap: _Gap) -> int:
    """Returns the middle of the bins around the deepest one that are about as empty."""
    level = density[gap.at] + 0.02 * min(density[gap.left], density[gap.right])
    first = last = gap.at
    while first - 1 > gap.left and density[first - 1] <= level:
        first -= 1
    while last + 1 < gap.right and density[last + 1] <= level:
        last += 1
    return (first + last) // 2


def _two_digits(threshold: float) -> float:
    """Returns the threshold rounded to two significant digits of its distance from 0 or 1."""
    digits = max(2, 1 - int(np.floor(np.log10(max(min(threshold, 1 - threshold), 1e-9)))))
    return round(threshold, digits)
