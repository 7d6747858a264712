"""Images that the strict decode refused."""

import numpy as np
import pyarrow as pa

from recolor.config import CorruptConfig
from recolor.outliers import THRESHOLD, outlier_table
from recolor.schemas import CORRUPT


def detect_corrupt(measurements: pa.Table, config: CorruptConfig) -> pa.Table:
    """Lists the images with a decode reason. No other detector judges them.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        config: Has no settings that matter here.

    Returns:
        A table of `schemas.CORRUPT`; every score is 0.
    """
    del config
    rows = np.flatnonzero(measurements["reason"].is_valid().to_numpy())
    taken = measurements.take(pa.array(rows, pa.int64()))
    reasons, details = taken["reason"].to_pylist(), taken["detail"].to_pylist()
    sentences = [f"{reason}: {detail}" for reason, detail in zip(reasons, details)]
    numbers = {"decode_reason": taken["reason"]}
    return outlier_table(
        CORRUPT,
        measurements,
        rows=rows,
        score=np.zeros(len(rows)),
        threshold=THRESHOLD,
        reasons=sentences,
        numbers=numbers,
    )
