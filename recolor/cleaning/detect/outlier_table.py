"""Functions that all detectors share: columns, scores and the table of outliers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recolor.color.arrays import Floats
from recolor.manifests.schemas import Schema

THRESHOLD = 0.5  # for detectors whose limit is in the unit of the measurement: the score is 0.5 at the limit


def column(measurements: pa.Table, name: str) -> Floats:
    """Returns a measurement as float64 [rows]; NaN for images that were not decoded."""
    values: Floats = measurements[name].to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return values


def score_above(values: Floats, limit: float) -> Floats:
    """Returns scores of numbers that should be large: 0 at 0, 0.5 at the limit, to 1.

    NaN (not judged) gives 1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        score = values / (values + limit)
    return np.where(np.isnan(values), 1.0, score)


def score_below(values: Floats, limit: float) -> Floats:
    """Returns scores of numbers that should be small: 1 at 0, 0.5 at the limit, to 0.

    NaN (not judged) gives 1.
    """
    score = limit / (np.maximum(values, 0.0) + limit)
    return np.where(np.isnan(values), 1.0, score)


def logistic(evidence: Floats) -> Floats:
    """Returns the logistic function of log-odds that an image is fine, 0.5 at 0.

    NaN (not judged) gives 1.
    """
    return np.where(np.isnan(evidence), 1.0, 1.0 / (1.0 + np.exp(-np.clip(evidence, -700, 700))))


def outlier_table(
    schema: Schema,
    measurements: pa.Table,
    *,
    rows: NDArray[np.int64],
    score: Floats,
    threshold: float,
    reasons: Sequence[str],
    numbers: Mapping[str, object] | None = None,
) -> pa.Table:
    """Returns the manifest of an issue.

    Args:
        schema: Schema of the issue: path, score, threshold, reason, then measurements.
        measurements: All images.
        rows: Rows of the outliers in `measurements`, int64 [outliers].
        score: Scores of the outliers, 0..1.
        threshold: The threshold of the score.
        reasons: One sentence for each outlier.
        numbers: Columns of the schema that are not in `measurements`, by name.
    """
    stored = [name for name in schema.arrow.names if name in measurements.column_names]
    taken = measurements.select(stored).take(pa.array(rows, pa.int64()))
    columns: dict[str, object] = {
        "path": taken["path"],
        "score": pa.array(score, pa.float64()),
        "threshold": pa.array(np.full(len(rows), threshold), pa.float64()),
        "reason": pa.array(list(reasons), pa.string()),
        **(numbers or {}),
    }
    arrays = [columns[name] if name in columns else taken[name] for name in schema.arrow.names]
    return pa.table(arrays, schema=schema.arrow)
