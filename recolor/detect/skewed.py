"""Colours that photographs do not have: casts, swapped channels, one hue, filters, wrong white balance.

Two judges. A network that has learnt where in photographs, and at which lightness, which colours are. And the data
set itself: an image's colour statistics are far from the set's own distribution (a robust Mahalanobis distance), which
needs enough images to know that distribution, and says nothing with fewer.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recolor.config import SkewedConfig
from recolor.outliers import Floats, column, logistic, outlier_table, score_below
from recolor.schemas import COLOUR_LAYOUT, SKEWED

NETWORK_FILE = Path(__file__).with_suffix(".npz")  # made by tests/benchmarks/fit_skewed.py
MIN_IMAGES = 200
CAST = 15.0  # Lab units; from there on a cast is what a person would call it
DISTANCE_LIMIT = 5.0  # times the median distance, of the score 0.5
CLIP = 6.0  # standard deviations of the network's inputs
_NETWORK_OFFSET = 3.0  # nats; moved so that about one of a hundred clean photographs is flagged
_AT_ONCE = 1 << 11  # layouts for the network: what is computed of them stays in the cache
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


def slim_skewed(measurements: pa.Table, config: SkewedConfig) -> pa.Table:
    """The measurements with the network's score, 8 bytes, in place of the layouts that it is of, 360 bytes."""
    del config
    score = pa.array(score_layout(measurements), pa.float64())
    return measurements.drop_columns("colour_layout").append_column("layout_score", score)


def detect_skewed(measurements: pa.Table, config: SkewedConfig) -> pa.Table:
    """Lists the images with unusual colours, as a table of `schemas.SKEWED`.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`, or what `slim_skewed` makes of one.
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
    values = pc.list_flatten(layouts).to_numpy(zero_copy_only=False).reshape(-1, COLOUR_LAYOUT)
    evidence = np.full(len(layouts), np.nan)
    for start in range(0, len(decoded), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        evidence[decoded[some]] = network_evidence(values[some], _network()) + _NETWORK_OFFSET
    return logistic(evidence)


def network_evidence(layouts: NDArray[np.float32], network: Network) -> Floats:
    """Log-odds that colours are those of a photograph.

    Args:
        layouts: float32 [rows, 90], as `recolor.measure.colour.colour_layout` makes them.
        network: Arrays of `NETWORK_FILE`: one hidden layer of ReLUs on standardised inputs.
    """
    z = np.clip((prepare_layout(layouts) - network["mean"]) / network["std"], -CLIP, CLIP).astype(np.float32)
    hidden = np.maximum(z @ network["weight_1"].T + network["bias_1"], 0)
    return np.asarray(hidden @ network["weight_2"] + network["bias_2"], np.float64)


def prepare_layout(layouts: NDArray[np.float32]) -> Floats:
    """Brings the numbers of a layout to like spreads: variances and chromas as logarithms, empty cells to zero."""
    share, means, variances, covariances, hues = np.split(layouts.astype(np.float64), [9, 27, 45, 54], axis=1)
    filled = np.minimum(1.0, share / 0.05)
    return np.concatenate(
        [
            share,
            means * np.tile(filled, (1, 2)),
            np.log(np.maximum(variances, 0) + 4.0),
            np.sign(covariances) * np.log1p(np.abs(covariances) / 4.0),
            np.log(hues + 0.3),
        ],
        axis=1,
    )


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
    values = _features(measurements)
    judged = ~np.isnan(values).any(axis=1)
    distance = np.full(len(values), np.nan)
    if judged.sum() >= MIN_IMAGES:
        z = values[judged]
        _standardise(z)
        clipped = np.clip(z, -_CLIP_DISTANCE, _CLIP_DISTANCE)
        spread = (1 - _SHRINKAGE) * np.cov(clipped.T) + _SHRINKAGE * np.eye(z.shape[1])
        length = np.sqrt(np.einsum("ij,jk,ik->i", z, np.linalg.inv(spread), z))
        distance[judged] = length / max(float(np.median(length)), 1e-9)
    return distance


def _features(measurements: pa.Table) -> Floats:
    """Mean colours by height, logarithms of the spreads, correlation of a and b, hue entropy: float64 [rows, 12]."""
    features = np.empty((len(measurements), len(_MEANS) + len(_SPREADS) + 2))
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
        distance = np.abs(values[:, at])
        # Where over half of the set is alike (all images grey, say) the median says nothing of the spread of the rest.
        scale = np.maximum(1.4826 * np.median(distance), 0.3 * np.percentile(distance, 90))
        values[:, at] /= np.maximum(scale, 1e-6)


def _reason(by_layout: bool, distance: float, cast: float, hue_entropy: float) -> str:
    if not by_layout:
        return f"unusual colours: {distance:.1f} times as far from the data set's own as half of its images"
    if cast >= CAST:
        return f"colour cast: even the greyest colours are {cast:.0f} Lab units from grey"
    if hue_entropy < 0.3:
        return f"few hues (entropy {hue_entropy:.2f} of 1), and not where photographs have them"
    return "colours are not where photographs have them: swapped channels, a filter, or wrong white balance"
