"""Colours that photographs do not have: casts, swapped channels, one hue, filters, wrong white balance.

Two judges. A network that has learnt where in photographs, and at which lightness, which colours are. And the data
set itself: an image's colour statistics are far from the set's own distribution (a robust Mahalanobis distance), which
needs enough images to know that distribution, and says nothing with fewer.
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
CAST = 15.0  # Lab units; from there on a cast is what a person would call it
DISTANCE_LIMIT = 5.0  # times the median distance, of the score 0.5
CLIP = 6.0  # standard deviations of the network's inputs
_NETWORK_OFFSET = 3.0  # nats; moved so that about one of a hundred clean photographs is flagged
_AT_ONCE = 1 << 11  # layouts for the network: what is computed of them stays in the cache
_TILE = 1 << 14  # rows of the data set's own judge
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
    """Scores how usual the colours are, the worse of the two judges: float64 [rows], 1 where not decoded."""
    return _worse(score_layout(measurements), colour_distance(measurements))


def compact_measurements(measurements: pa.Table, config: SkewedConfig) -> pa.Table:
    """The measurements with the network's score, 8 bytes, in place of the layouts that it is of, 360 bytes."""
    del config
    score = pa.array(score_layout(measurements), pa.float64())
    return measurements.drop_columns("colour_layout").append_column("layout_score", score)


def detect_skewed(measurements: pa.Table, config: SkewedConfig) -> pa.Table:
    """Lists the images with unusual colours, as a table of `schemas.SKEWED`.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`, or what `compact_measurements` makes of one.
        config: The threshold.
    """
    layouts, distances = score_layout(measurements), colour_distance(measurements)
    score = _worse(layouts, distances)
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


def _worse(layouts: Floats, distances: Floats) -> Floats:
    return np.minimum(layouts, score_below(distances, DISTANCE_LIMIT))


def score_layout(measurements: pa.Table) -> Floats:
    """What the network thinks of where the colours are: 0 is skewed; float64 [rows], 1 where not decoded."""
    if "layout_score" in measurements.column_names:
        return column(measurements, "layout_score")
    layouts = measurements["colour_layout"].combine_chunks()
    decoded = np.flatnonzero(layouts.is_valid().to_numpy(zero_copy_only=False))
    values = np.frombuffer(layouts.buffers()[1], "<f4")[layouts.offset * COLOUR_LAYOUT :].reshape(-1, COLOUR_LAYOUT)
    evidence = np.full(len(layouts), np.nan)
    with threadpool_limits(1, user_api="blas"):  # for products as small as these, threads cost more than they gain
        for start in range(0, len(decoded), _AT_ONCE):
            some = decoded[start : start + _AT_ONCE]
            evidence[some] = network_evidence(values[some], _network()) + _NETWORK_OFFSET
    return logistic(evidence)


def network_evidence(layouts: NDArray[np.float32], network: Network) -> Floats:
    """Log-odds that colours are those of a photograph.

    Args:
        layouts: float32 [rows, 90], as `recolor.cleaning.measure.colour` makes them.
        network: Arrays of `NETWORK_FILE`: one hidden layer of ReLUs on standardised inputs.
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
    """Brings the numbers of a layout to like spreads: variances and chromas as logarithms, empty cells to zero."""
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
    """Robust Mahalanobis distance of the colour statistics, as a multiple of the data set's median distance.

    Centre and scale are median and median absolute deviation; the correlations are those of the clipped z-scores, so
    that the outliers themselves hardly shape them, drawn towards none (Ledoit and Wolf 2004) so that they can be
    inverted and no direction that the set happens to leave empty counts too much.

    Returns:
        float64 [rows]; NaN where not decoded, or everywhere if there are fewer than `MIN_IMAGES` images.
    """
    z = _features(measurements)
    judged = ~np.isnan(z).any(axis=1)
    distance = np.full(len(z), np.nan)
    if judged.sum() >= MIN_IMAGES:
        z = z.T[:, judged].T  # each column in one piece still
        _standardise(z)
        inverse = np.linalg.inv(_spread(z))
        length = np.concatenate([np.sqrt(np.sum(some @ inverse * some, axis=1)) for some in _tiles(z)])
        distance[judged] = length / max(float(np.median(length)), 1e-9)
    return distance


def _spread(z: Floats) -> Floats:
    """Correlations of the clipped z-scores, drawn towards none: float64 [columns, columns]."""
    total, products = np.zeros(z.shape[1]), np.zeros((z.shape[1], z.shape[1]))
    for some in _tiles(z):
        clipped = np.clip(some, -_CLIP_DISTANCE, _CLIP_DISTANCE)
        total += clipped.sum(axis=0)
        products += clipped.T @ clipped
    covariance = (products - np.outer(total, total) / len(z)) / (len(z) - 1)
    return (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.eye(z.shape[1])


def _tiles(rows: Floats) -> Iterator[Floats]:
    """Some rows after the other: what is computed of them stays in the cache, and memory small."""
    return (rows[start : start + _TILE] for start in range(0, len(rows), _TILE))


def _features(measurements: pa.Table) -> Floats:
    """Mean colours by height, logarithms of the spreads, correlation of a and b, hue entropy: float64 [rows, 12]."""
    columns = len(_MEANS) + len(_SPREADS) + 2
    features = np.empty((columns, len(measurements))).T  # each column in one piece: most is done column by column
    for at, name in enumerate(_MEANS):
        features[:, at] = column(measurements, name)
    for at, name in enumerate(_SPREADS, len(_MEANS)):
        features[:, at] = np.log(column(measurements, name) + 2.0)  # 2 Lab units: what one hardly sees
    both = (column(measurements, "a_std") + 2.0) * (column(measurements, "b_std") + 2.0)
    features[:, -2] = column(measurements, "ab_covariance") / both
    features[:, -1] = column(measurements, "hue_entropy")
    return features


def _standardise(values: Floats) -> None:
    """Turns each column, in place, into robust z-scores."""
    for at in range(values.shape[1]):
        values[:, at] -= np.median(values[:, at])
        half, most = np.percentile(np.abs(values[:, at]), [50, 90], overwrite_input=True)
        # Where over half of the set is alike (all images grey, say) the median says nothing of the spread of the rest.
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
