"""How sure a figure is, given these images: they are drawn again and again, with replacement.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap": chapter 6 (standard errors), 13 (percentile intervals).
All figures of an evaluation see the same drawings, so that the difference of two models is that of pairs.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
Bounds = tuple[float, float]

RESAMPLES = 2000
LEVEL = 0.95
_SEED = 0
_BLOCK_ENTRIES = 1 << 22  # 32 MiB of counts at once
_TAIL = (1 - LEVEL) / 2
_NORMAL_QUANTILE = 1.959963984540054  # of 0.975


def resample_counts(images: int, resamples: int = RESAMPLES, seed: int = _SEED) -> Iterator[Float64Array]:
    """How often each image was drawn in each resample: N draws of N images.

    Args:
        images: N, at least 1.
        resamples: How many, B.
        seed: The same gives the same draws: those of `numpy.random.default_rng(seed).integers(0, N, (B, N))`.

    Yields:
        Blocks of rows of [B, N], each row summing to N.
    """
    random = np.random.default_rng(seed)
    rows = max(1, _BLOCK_ENTRIES // images)
    for start in range(0, resamples, rows):
        block = min(rows, resamples - start)
        drawn = random.integers(0, images, (block, images)) + images * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * images).reshape(block, images).astype(np.float64)


def percentile_interval(resampled: Float64Array) -> Bounds:
    """The middle 95% of a figure's resampled values [B]."""
    low, high = np.quantile(resampled, (_TAIL, 1 - _TAIL))
    return float(low), float(high)


def normal_interval(value: float, resampled: Float64Array) -> Bounds:
    """Value ± 1.96 bootstrap standard errors: for figures that are biased on resamples, and dear to resample."""
    error = _NORMAL_QUANTILE * float(np.std(resampled, ddof=1))
    return value - error, value + error


def magnitude_interval(bounds: Bounds) -> Bounds:
    """The interval of |x| that belongs to one of x: from 0 where that has both signs.

    Percentiles of |x| themselves would hardly ever reach 0, even where x is 0.
    """
    low, high = bounds
    most = max(abs(low), abs(high))
    return (0.0, most) if low <= 0 <= high else (min(abs(low), abs(high)), most)
