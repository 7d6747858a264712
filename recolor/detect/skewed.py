"""Colours that no photograph of this set has: casts, swapped channels, one hue, filters.

Two judges. An absolute one: even the greyest colours of a picture are far from grey. And a relative one: its colour
statistics are far from the data set's own distribution (a robust Mahalanobis distance), which needs enough images to
know that distribution, and says nothing with fewer.
"""

import numpy as np
import pyarrow as pa

from recolor.config import SkewedConfig
from recolor.outliers import Floats, column, outlier_table, score_below
from recolor.schemas import SKEWED

MIN_IMAGES = 200
CAST_LIMIT = 30.0  # Lab units, of the score 0.5: sunsets mostly stay under it
DISTANCE_LIMIT = 3.9  # times the median distance, of the score 0.5
_SHRINKAGE = 0.3
_CLIP = 4.0  # a z-score beyond this adds no more to the correlations
_SPREADS = ("a_std", "b_std", "chroma_mean", "chroma_p95")
_MEANS = tuple(f"{channel}_band_{band}" for band in range(3) for channel in "ab")


def score_skewed(measurements: pa.Table) -> Floats:
    """Scores how usual the colours are, the worse of the two judges: float64 [rows], 1 where not decoded."""
    return np.minimum(
        score_below(column(measurements, "cast"), CAST_LIMIT),
        score_below(colour_distance(measurements), DISTANCE_LIMIT),
    )


def detect_skewed(measurements: pa.Table, config: SkewedConfig) -> pa.Table:
    """Lists the images with unusual colours, as a table of `schemas.SKEWED`."""
    score = score_skewed(measurements)
    rows = np.flatnonzero(score < config.threshold)
    distances, casts = colour_distance(measurements)[rows], column(measurements, "cast")[rows]
    reasons = [_reason(distance, cast) for distance, cast in zip(distances, casts)]
    numbers = {"colour_distance": pa.array(distances, pa.float64(), from_pandas=True)}
    return outlier_table(
        SKEWED, measurements, rows=rows, score=score[rows], threshold=config.threshold, reasons=reasons, numbers=numbers
    )


def colour_distance(measurements: pa.Table) -> Floats:
    """Robust Mahalanobis distance of the colour statistics, as a multiple of the data set's median distance.

    Centre and scale are median and median absolute deviation; the correlations are those of the clipped z-scores, so
    that the outliers themselves hardly shape them, drawn towards none (Ledoit and Wolf 2004) so that they can be
    inverted and no direction that the set happens to leave empty counts too much.

    Returns:
        float64 [rows]; NaN where not decoded, or everywhere if there are fewer than `MIN_IMAGES` images.
    """
    values = _features(measurements)
    judged = ~np.isnan(values).any(axis=1)
    distance = np.full(len(values), np.nan)
    if judged.sum() >= MIN_IMAGES:
        z = _robust_z(values[judged])
        clipped = np.clip(z, -_CLIP, _CLIP)
        spread = (1 - _SHRINKAGE) * np.cov(clipped.T) + _SHRINKAGE * np.eye(z.shape[1])
        length = np.sqrt(np.einsum("ij,jk,ik->i", z, np.linalg.inv(spread), z))
        distance[judged] = length / max(float(np.median(length)), 1e-9)
    return distance


def _features(measurements: pa.Table) -> Floats:
    """Mean colours by height, logarithms of the spreads, correlation of a and b, hue entropy: float64 [rows, 12]."""
    means = [column(measurements, name) for name in _MEANS]
    spreads = [np.log(column(measurements, name) + 2.0) for name in _SPREADS]  # 2 Lab units: what one hardly sees
    both = (column(measurements, "a_std") + 2.0) * (column(measurements, "b_std") + 2.0)
    correlation = column(measurements, "ab_covariance") / both
    return np.stack([*means, *spreads, correlation, column(measurements, "hue_entropy")], axis=1)


def _robust_z(values: Floats) -> Floats:
    distance = np.abs(values - np.median(values, axis=0))
    scale = 1.4826 * np.median(distance, axis=0)
    # Where over half of the set is alike (all images grey, say) the median says nothing of the spread of the others.
    scale = np.maximum(scale, 0.3 * np.percentile(distance, 90, axis=0))
    return np.asarray((values - np.median(values, axis=0)) / np.maximum(scale, 1e-6))


def _reason(distance: float, cast: float) -> str:
    if cast >= CAST_LIMIT or np.isnan(distance):
        return f"colour cast: even the greyest colours are {cast:.0f} Lab units from grey"
    return f"unusual colours: {distance:.1f} times as far from the data set's own as half of its images"
