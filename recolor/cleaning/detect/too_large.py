"""Images beyond a limit of `measure`: too many pixels or bytes, or too slow to decode. They may be good."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import THRESHOLD, outlier_table
from recolor.color.arrays import Floats
from recolor.config.settings import TooLargeConfig
from recolor.errors import LIMITS
from recolor.manifests.schemas import TOO_LARGE

COLUMNS = ("path", "reason", "detail")  # of the measurements


def score_too_large(measurements: pa.Table) -> Floats:
    """Scores images beyond a limit 0, and all others 1.

    Returns:
        float64 [rows].
    """
    beyond = pc.is_in(measurements["reason"], value_set=pa.array(list(LIMITS), pa.string()))
    return np.where(beyond.to_numpy(), 0.0, 1.0)


def detect_too_large(measurements: pa.Table, config: TooLargeConfig) -> pa.Table:
    """Lists the images that were not decoded because of a limit, and names the setting.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        config: Nothing to set but whether the detector runs.

    Returns:
        A table of `schemas.TOO_LARGE`.
    """
    del config
    score = score_too_large(measurements)
    rows = (score < THRESHOLD).nonzero()[0]
    taken = measurements.take(pa.array(rows, pa.int64()))
    limits = [LIMITS[reason] for reason in taken["reason"].to_pylist()]
    return outlier_table(
        TOO_LARGE,
        measurements,
        rows=rows,
        score=score[rows],
        threshold=THRESHOLD,
        reasons=[f"not decoded: {detail}; raise {limit}" for detail, limit in zip(taken["detail"].to_pylist(), limits)],
        numbers={"limit": pa.array(limits, pa.string())},
    )


TOO_LARGE_DETECTOR = Detector(
    schema=TOO_LARGE,
    settings=lambda config: config.too_large,
    columns=lambda _: COLUMNS,
    detect=detect_too_large,
    score=lambda measurements, _: score_too_large(measurements),
)
