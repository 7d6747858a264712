"""The detector of unusual colours: casts, swapped channels, filters, white balance.

The score is the lower of two. A small network scores the layout of the colours: it was trained on where in photographs,
and at which lightness, each colour occurs. A robust Mahalanobis distance compares the colour statistics of an image
with those of the whole data set; it is used only if there are enough images to estimate their distribution.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, logistic, outlier_table, score_below
from recolor.color.arrays import Floats
from recolor.config.settings import SkewedConfig
from recolor.manifests.schemas import COLOUR_LAYOUT, SKEWED

NETWORK_FILE = Path(__file__).with_suffix(".npz")  # made by tools/fit_skewed.py
MIN_IMAGES = 200
CAST = 15.0  # Lab units from which the reason says "colour cast"
DISTANCE_LIMIT = 5.0  # in median distances, at which the score is 0.5
CLIP = 6.0  # standard deviations to which the network's inputs are clipped
_NETWORK_OFFSET = 3.0  # nats; set so that about 1% of clean photographs are flagged
_BATCH_ROWS = 1 << 11  # layouts in a batch of the network, small enough for the CPU cache
_TILE_ROWS = 1 << 14  # rows in one step of the distance
_SHRINKAGE = 0.3
_CLIP_DISTANCE = 4.0  # a z-score beyond this adds no more to the correlations
_SPREADS = ("a_std", "b_std", "chroma_mean", "chroma_p95")
_MEANS = tuple(f"{channel}_band_{band}" for band in range(3) for channel in "ab")
COLUMNS = (  # of the measurements
    *("path", "colour_layout", "cast", "hue_entropy", "a_mean", "b_mean", "ab_covariance"),
    *_SPREADS,
    *_MEANS,
)

Network = Mapping[str, NDArray[np.float32]]


def score_skewed(measurements: pa.Table) -> Floats:
    """Returns how usual the colours are, the lower of the two scores.

    Returns:
        float64 [rows]; 1 if not decoded.
    """
    return _lower_score(score_layout(measurements), colour_distance(measurements))


def compact_measurements(measurements: pa.Table, config: SkewedConfig) -> pa.Table:
    """Replaces the layouts, 360 bytes per image, by the network's scores, 8 bytes per image."""
    del config
    score = pa.array(score_layout(measurements), pa.float64())
    return measurements.drop_columns("colour_layout").append_column("layout_score", score)


def detect_skewed(measurements: pa.Table, config: SkewedConfig) -> pa.Table:
    """Returns the images with unusual colours, a table of `schemas.SKEWED`.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`, or the result of `compact_measurements`.
        config: The threshold.
    """
    layouts, distances = score_layout(measurements), colour_distance(measurements)
    score = _lower_score(layouts, distances)
    rows = np.flatnonzero(score < config.threshold)
    layouts, distances = layouts[rows], distances[rows]
    taken = measurements.select(["cast", "hue_entropy"]).take(pa.array(rows, pa.int64()))
    casts, entropies = column(taken, "cast"), column(taken, "hue_entropy")
    reasons = [
        _reason(layout < config.threshold, distance, cast, entropy)
        for layout, distance, cast, entropy in zip(layouts, distances, casts, entropies)
    ]
    numbers = {
        "colour_distance": pa.array(distances, pa.float64(), from_pandas=True),
        "layout_score": pa.array(layouts, pa.float64()),
    }
    return outlier_table(
        SKEWED, measurements, rows=rows, score=score[rows], threshold=config.threshold, reasons=reasons, numbers=numbers
    )


def _lower_score(layouts: Floats, distances: Floats) -> Floats:
    return np.minimum(layouts, score_below(distances, DISTANCE_LIMIT))


def score_layout(measurements: pa.Table) -> Floats:
    """Returns the network's scores of the colour layouts, 0 for skewed.

    Returns:
        float64 [rows]; 1 if not decoded.
    """
    if "layout_score" in measurements.column_names:
        return column(measurements, "layout_score")
    layouts = measurements["colour_layout"].combine_chunks()
    decoded = np.flatnonzero(layouts.is_valid().to_numpy(zero_copy_only=False))
    values = np.frombuffer(layouts.buffers()[1], "<f4")[layouts.offset * COLOUR_LAYOUT :].reshape(-1, COLOUR_LAYOUT)
    evidence = np.full(len(layouts), np.nan)
    with threadpool_limits(1, user_api="blas"):  # for such small products, threads cost more than they gain
        for start in range(0, len(decoded), _BATCH_ROWS):
            some = decoded[start : start + _BATCH_ROWS]
            evidence[some] = network_evidence(values[some], _network()) + _NETWORK_OFFSET
    return logistic(evidence)


def network_evidence(layouts: NDArray[np.float32], network: Network) -> Floats:
    """Returns the log-odds that the colours are those of a photograph: float64 [rows].

    Args:
        layouts: float32 [rows, 90], from `recolor.cleaning.measure.colour`.
        network: Arrays of `NETWORK_FILE`: one hidden layer with ReLU, on standardised inputs.
    """
    z = prepare_layout(layouts)
    z -= network["mean"]
    z /= network["std"]
    np.clip(z, -CLIP, CLIP, out=z)
    hidden = z @ network["weight_1"].T
    hidden += network["bias_1"]
    np.maximum(hidden, 0, out=hidden)
    return np.asarray(hidden @ network["weight_2"] + network["bias_2"], np.float64)


def prepare_layout(layouts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns layouts as inputs of the network.

    Variances and hues become logarithms, and the means of empty cells near zero.
    """
    prepared = layouts.astype(np.float32)  # a copy
    share, means, variances, covariances, hues = np.split(prepared, [9, 27, 45, 54], axis=1)  # views
    means *= np.tile(np.minimum(np.float32(1), share / np.float32(0.05)), (1, 2))
    variances[:] = np.log(np.maximum(variances, 0) + np.float32(4))
    covariances[:] = np.copysign(np.log1p(np.abs(covariances) / np.float32(4)), covariances)
    hues[:] = np.log(hues + np.float32(0.3))
    return prepared


@cache
def _network() -> Network:
    with np.load(NETWORK_FILE) as file:
        return dict(file)


def colour_distance(measurements: pa.Table) -> Floats:
    """Returns the robust Mahalanobis distance of the colours, in the set's median distances.

    Centre and scale are median and median absolute deviation. The correlations are those of the clipped z-scores, so
    that outliers hardly affect them. They are shrunk towards zero (Ledoit and Wolf 2004), so that the matrix can be
    inverted and directions in which the data set hardly varies do not dominate.

    Returns:
        float64 [rows]; NaN for images that were not decoded, and for all if there are fewer than `MIN_IMAGES`.
    """
    z = _features(measurements)
    judged = ~np.isnan(z).any(axis=1)
    distance = np.full(len(z), np.nan)
    if judged.sum() >= MIN_IMAGES:
        z = z.T[:, judged].T  # columns stay contiguous
        _standardise(z)
        inverse = np.linalg.inv(_shrunk_correlations(z))
        length = np.concatenate([np.sqrt(np.sum(some @ inverse * some, axis=1)) for some in _tiles(z)])
        distance[judged] = length / max(float(np.median(length)), 1e-9)
    return distance


def _shrunk_correlations(z: Floats) -> Floats:
    """Returns the correlations of the clipped z-scores, shrunk towards zero.

    Returns:
        float64 [columns, columns].
    """
    total, products = np.zeros(z.shape[1]), np.zeros((z.shape[1], z.shape[1]))
    for some in _tiles(z):
        clipped = np.clip(some, -_CLIP_DISTANCE, _CLIP_DISTANCE)
        total += clipped.sum(axis=0)
        products += clipped.T @ clipped
    covariance = (products - np.outer(total, total) / len(z)) / (len(z) - 1)
    return (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.eye(z.shape[1])


def _tiles(rows: Floats) -> Iterator[Floats]:
    """Yields the rows in tiles that fit into the CPU cache."""
    return (rows[start : start + _TILE_ROWS] for start in range(0, len(rows), _TILE_ROWS))


def _features(measurements: pa.Table) -> Floats:
    """Returns mean colours by height, log spreads, correlation of a and b, hue entropy.

    Returns:
        float64 [rows, 12].
    """
    columns = len(_MEANS) + len(_SPREADS) + 2
    features = np.empty((columns, len(measurements))).T  # contiguous columns: most is computed column by column
    for at, name in enumerate(_MEANS):
        features[:, at] = column(measurements, name)
    for at, name in enumerate(_SPREADS, len(_MEANS)):
        features[:, at] = np.log(column(measurements, name) + 2.0)  # 2 Lab units: a hardly visible difference
    both = (column(measurements, "a_std") + 2.0) * (column(measurements, "b_std") + 2.0)
    features[:, -2] = column(measurements, "ab_covariance") / both
    features[:, -1] = column(measurements, "hue_entropy")
    return features


def _standardise(values: Floats) -> None:
    """Turns each column, in place, into robust z-scores."""
    for at in range(values.shape[1]):
        values[:, at] -= np.median(values[:, at])
        half, most = np.percentile(np.abs(values[:, at]), [50, 90], overwrite_input=True)
        # If over half of the values are equal (grey images, for example), the median deviation is 0: hence the 90th
        # percentile.
        values[:, at] /= max(1.4826 * half, 0.3 * most, 1e-6)


def _reason(by_layout: bool, distance: float, cast: float, hue_entropy: float) -> str:
    if not by_layout:
        return f"unusual colours: {distance:.1f} times as far from the data set's own as half of its images"
    if cast >= CAST:
        return f"colour cast: even the greyest colours are {cast:.0f} Lab units from grey"
    if hue_entropy < 0.3:
        return f"few hues (entropy {hue_entropy:.2f} of 1), and not where photographs have them"
    return "colours are not where photographs have them: swapped channels, a filter, or wrong white balance"


SKEWED_DETECTOR = Detector(
    schema=SKEWED,
    settings=lambda config: config.skewed,
    columns=lambda _: COLUMNS,
    detect=detect_skewed,
    score=score_skewed,
    compact=compact_measurements,
)
