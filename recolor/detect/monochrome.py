"""Images without colour of their own: grey, grey in RGB, sepia, duotone, tinted.

In all of these colour is a function of lightness. A pale snow scene is not: it has little chroma, but L does not tell
where. So it is the residual of a and b on a cubic in L that is judged, not chroma.
"""

import numpy as np
import pyarrow as pa

from recolor.config import MonochromeConfig
from recolor.outliers import Floats, column, outlier_table, score_above
from recolor.schemas import MONOCHROME

# Residual, in Lab units, of the score 0.5. Grey photographs mostly stay under 0.1, pale winter scenes over 1.
RESIDUAL_LIMIT = 0.8


def score_monochrome(measurements: pa.Table) -> Floats:
    """Scores the residual of ab on L: 0 is monochrome; float64 [rows], 1 where not decoded."""
    return score_above(column(measurements, "ab_residual"), RESIDUAL_LIMIT)


def detect_monochrome(measurements: pa.Table, config: MonochromeConfig) -> pa.Table:
    """Lists the monochrome images, as a table of `schemas.MONOCHROME`."""
    score = score_monochrome(measurements)
    rows = np.flatnonzero(score < config.threshold)
    residuals = column(measurements, "ab_residual")[rows]
    chromas = column(measurements, "chroma_mean")[rows]
    reasons = [_reason(residual, chroma) for residual, chroma in zip(residuals, chromas)]
    return outlier_table(
        MONOCHROME, measurements, rows=rows, score=score[rows], threshold=config.threshold, reasons=reasons
    )


def _reason(residual: float, chroma: float) -> str:
    kind = "grey" if chroma < 2.0 else "one tint (sepia, duotone or a filter)"
    return f"{kind}: lightness explains all of the colour but {residual:.2f} Lab units"
