"""The detector of unusual colours: casts, swapped channels, filters, white balance.

The score is that of two networks (`recolor.cleaning.measure.natural_colour`). A small one judges where in photographs,
and at which lightness, each colour occurs, whether something in them is neutral (a blue or orange scene has a neutral
highlight or shadow, a cast has none), and how much of the colour lightness and hue leave unexplained. Where it doubts,
a convolutional one has looked at what the picture shows, and both decide together.

A robust Mahalanobis distance from the colours of the whole data set is reported beside it. It does not affect the
score, because a colour that is rare in a data set, such as the green of a park among deserts, is no defect.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, logistic, outlier_table
from recolor.cleaning.measure.natural_colour import GREY_CHROMA
from recolor.color.arrays import Floats
from recolor.config.settings import SkewedConfig
from recolor.manifests.schemas import NATURAL_COLOUR, SKEWED

MIN_IMAGES = 200
CAST = 8.0  # Lab units from grey from which the reason names a cast
ONE_HUE = 0.3  # entropy of the hues below which the reason names one hue
HUES = (  # angle in Lab, in degrees, up to which a cast has the name
    *((20, "pink"), (50, "red"), (75, "orange"), (110, "yellow"), (170, "green"), (230, "cyan"), (310, "blue")),
    *((325, "violet"), (350, "magenta"), (360, "pink")),
)
_CNN_WEIGHT = 1.25  # nats of the small network for one of the convolutional network
_LIMIT, _STEEPNESS = -5.3, 0.7  # nats at which the score is 0.5: about 0.5% of ordinary scenes are below
_TILE_ROWS = 1 << 14  # rows in one step of the distance
_SHRINKAGE = 0.3
_CLIP_DISTANCE = 4.0  # a z-score beyond this adds no more to the correlations
_SPREADS = ("a_std", "b_std", "chroma_mean", "chroma_p95")
_MEANS = tuple(f"{channel}_band_{band}" for band in range(3) for channel in "ab")
_LOGITS = tuple(column.name for column in NATURAL_COLOUR)
COLUMNS = ("path", "cast", "hue_entropy", "a_mean", "b_mean", "ab_covariance", *_LOGITS, *_SPREADS, *_MEANS)


def score_skewed(measurements: pa.Table) -> Floats:
    """Returns the networks' scores, 0 for skewed.

    Returns:
        float64 [rows]; 1 if not decoded, and if grey: without colours, none is unusual.
    """
    logit, logit_cnn = (column(measurements, name) for name in _LOGITS)
    logit = logit + _CNN_WEIGHT * np.nan_to_num(logit_cnn)  # null where it has not looked
    score = logistic(_STEEPNESS * (logit - _LIMIT))
    return np.where(column(measurements, "chroma_mean") < GREY_CHROMA, 1.0, score)


def detect_skewed(measurements: pa.Table, config: SkewedConfig) -> pa.Table:
    """Returns the images with unusual colours, a table of `schemas.SKEWED`.

    Args:
        measurements: With the columns `COLUMNS`.
        config: The threshold.
    """
    score = score_skewed(measurements)
    rows = np.flatnonzero(score < config.threshold)
    distances = colour_distance(measurements)[rows] if rows.size else np.zeros(0)
    taken = measurements.select(["cast", "hue_entropy", "a_mean", "b_mean"]).take(pa.array(rows, pa.int64()))
    reasons = [_reason(**row) for row in taken.to_pylist()]
    numbers = {"colour_distance": pa.array(distances, pa.float64(), from_pandas=True)}
    return outlier_table(
        SKEWED, measurements, rows=rows, score=score[rows], threshold=config.threshold, reasons=reasons, numbers=numbers
    )


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


def _reason(cast: float, hue_entropy: float, a_mean: float, b_mean: float) -> str:
    if cast >= CAST:
        turn = float(np.degrees(np.arctan2(b_mean, a_mean))) % 360
        hue = next(name for most, name in HUES if turn <= most)
        least = f"the greyest twentieth is {cast:.0f} Lab units towards {hue}"
        return f"{hue} cast: nothing in the picture is neutral ({least})"
    if hue_entropy < ONE_HUE:
        return f"one hue explains all colour, and not where photographs have it (hue entropy {hue_entropy:.2f} of 1)"
    numbers = f"cast {cast:.0f} Lab units, hue entropy {hue_entropy:.2f} of 1"
    return f"unusual colours: swapped channels, solarised, a filter or a wrong white balance ({numbers})"


SKEWED_DETECTOR = Detector(
    schema=SKEWED,
    settings=lambda config: config.skewed,
    columns=lambda _: COLUMNS,
    detect=detect_skewed,
    score=lambda measurements, _: score_skewed(measurements),
    threshold=lambda config: config.threshold,
    compact=lambda measurements, _: measurements.select(COLUMNS),
)
