"""Colours that no photograph of this set has: casts, swapped channels, one hue, filters.

Two judges. An absolute one: even the greyest colours of the picture are far from grey. And a relative one: the picture's
colour statistics are far from the data set's own distribution (a robust Mahalanobis distance), which needs enough images
to know that distribution, and says nothing with fewer.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recolor.config import SkewedConfig
from recolor.outliers import Floats, column, outlier_table, score_below
from recolor.schemas import SKEWED

MIN_IMAGES = 200
CAST_LIMIT = 30.0
DISTANCE_LIMIT = 4.0
_CLIP = 6.0  # a robust z-score beyond this adds no more to the spread
FEATURES = (
    "a_mean", "b_mean", "a_std", "b_std", "chroma_mean", "chroma_p95", "cast", "hue_entropy",
    "a_band_0", "b_band_0", "a_band_1", "b_band_1", "a_band_2", "b_band_2",
)  # fmt: skip


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
    return outlier_table(SKEWED, measurements, rows, score[rows], config.threshold, reasons, numbers)


def colour_distance(measurements: pa.Table) -> Floats:
    """Robust Mahalanobis distance of the colour statistics, as a multiple of the data set's median distance.

    Centre and scale are median and median absolute deviation; the correlations are those of the clipped z-scores, so
    that the outliers themselves hardly shape them, drawn 10% towards none (Ledoit and Wolf 2004) so that they can
    always be inverted.

    Returns:
        float64 [rows]; NaN where not decoded, or everywhere if there are fewer than `MIN_IMAGES` images.
    """
    values = np.stack([column(measurements, name) for name in FEATURES], axis=1)
    judged = ~np.isnan(values).any(axis=1)
    distance = np.full(len(values), np.nan)
    if judged.sum() >= MIN_IMAGES:
        z = _robust_z(values[judged])
        clipped = np.clip(z, -_CLIP, _CLIP)
        spread = 0.9 * np.cov(clipped.T) + 0.1 * np.eye(len(FEATURES))
        length = np.sqrt(np.einsum("ij,jk,ik->i", z, np.linalg.inv(spread), z))
        distance[judged] = length / max(float(np.median(length)), 1e-9)
    return distance


def _robust_z(values: Floats) -> NDArray[np.float64]:
    centre = np.median(values, axis=0)
    scale = 1.4826 * np.median(np.abs(values - centre), axis=0)
    return (values - centre) / np.maximum(scale, 1e-6)


def _reason(distance: float, cast: float) -> str:
    if cast >= CAST_LIMIT or np.isnan(distance):
        return f"colour cast: even the greyest colours are {cast:.0f} Lab units from grey"
    return f"unusual colours: {distance:.1f} times as far from the data set's own as half of its images"
