"""Images without fine detail. PLACEHOLDER"""

import numpy as np
import pyarrow as pa

from recolor.config import BlurryConfig
from recolor.outliers import Floats, column, outlier_table, score_above
from recolor.schemas import BLURRY


def score_blurry(measurements: pa.Table) -> Floats:
    """Scores fine detail."""
    return score_above(column(measurements, "laplacian_block_0"), 75.0)


def detect_blurry(measurements: pa.Table, config: BlurryConfig) -> pa.Table:
    """Lists the blurry images, as a table of `schemas.BLURRY`."""
    score = score_blurry(measurements)
    rows = np.flatnonzero(score < config.threshold)
    reasons = ["" for _ in rows]
    return outlier_table(BLURRY, measurements, rows, score[rows], config.threshold, reasons)
