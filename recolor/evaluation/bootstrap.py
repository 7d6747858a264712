"""Bootstrap confidence intervals: metrics recomputed on images drawn with replacement.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap": chapter 6 (standard errors), 13 (percentile intervals).
All metrics of an evaluation use the same resamples, so differences of two models are paired.
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
    """Yields how often each image was drawn in each resample: N draws of N images.

    Args:
        images: Number of images N, at least 1.
        resamples: Number of resamples B.
        seed: Seed of the draws, which are those of `numpy.random.default_rng(seed).integers(0, N, (B, N))`.

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
    """Returns the 2.5% and 97.5% percentiles of a metric's resampled values [B].

    Resamples in which the metric is undefined (NaN) are left out; it must be defined in at least one.
    """
    low, high = percentile_bounds(resampled)
    return float(low), float(high)


def percentile_bounds(resampled: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Returns the percentiles of several metrics: arrays [...] for resampled values [B, ...].

    NaN values are left out; the bounds of a metric that is NaN in all resamples are NaN.
    """
    defined = ~np.isnan(resampled).all(axis=0)
    bounds = np.full((2, *resampled.shape[1:]), np.nan)
    bounds[:, defined] = np.nanquantile(resampled[:, defined], (_TAIL, 1 - _TAIL), axis=0)
    return bounds[0], bounds[1]


def normal_interval(value: float, resampled: Float64Array) -> Bounds:
    """Returns value ± 1.96 bootstrap standard errors.

    For metrics that are biased on resamples and expensive to compute, such as FID.
    """
    error = _NORMAL_QUANTILE * float(np.std(resampled, ddof=1))
    return value - error, value + error


def magnitude_interval(bounds: Bounds) -> Bounds:
    """Returns the interval of |x| for an interval of x; it starts at 0 if x has both signs.

    Percentiles of |x| itself would almost never reach 0, even if x is 0.
    """
    low, high = bounds
    most = max(abs(low), abs(high))
    return (0.0, most) if low <= 0 <= high else (min(abs(low), abs(high)), most)
