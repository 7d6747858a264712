"""The detector of corrupt images.

These cannot be decoded, or were saved again after an incomplete decode.
"""

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import THRESHOLD, column, outlier_table, score_below
from recolor.color.arrays import Floats
from recolor.config.settings import CorruptConfig
from recolor.manifests.schemas import CORRUPT

COLUMNS = ("path", "reason", "detail", "grey_tail")  # of the measurements


def score_corrupt(measurements: pa.Table, config: CorruptConfig) -> Floats:
    """Returns the scores of grey at an edge, 0.5 at `max_grey_tail`.

    The score is 0 for images that were not decoded.

    Returns:
        float64 [rows].
    """
    refused = measurements["reason"].is_valid().to_numpy()
    return np.where(refused, 0.0, score_below(column(measurements, "grey_tail"), config.max_grey_tail))


def detect_corrupt(measurements: pa.Table, config: CorruptConfig) -> pa.Table:
    """Returns the images that were not decoded, and those that end in flat mid-grey.

    No other detector judges images that were not decoded.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        config: The largest share of grey that is allowed.

    Returns:
        A table of `schemas.CORRUPT`.
    """
    score = score_corrupt(measurements, config)
    rows = np.flatnonzero(score < THRESHOLD)
    taken = measurements.take(pa.array(rows, pa.int64()))
    reasons = [reason or "grey_tail" for reason in taken["reason"].to_pylist()]
    details = [
        detail or f"{share:.0%} of it is flat mid-grey: it was saved after a decode that broke off"
        for detail, share in zip(taken["detail"].to_pylist(), taken["grey_tail"].to_pylist())
    ]
    return outlier_table(
        CORRUPT,
        measurements,
        rows=rows,
        score=score[rows],
        threshold=THRESHOLD,
        reasons=[f"{reason}: {detail}" for reason, detail in zip(reasons, details)],
        numbers={"decode_reason": pa.array(reasons, pa.string())},
    )


CORRUPT_DETECTOR = Detector(
    schema=CORRUPT, settings=lambda config: config.corrupt, columns=lambda _: COLUMNS, detect=detect_corrupt
)
