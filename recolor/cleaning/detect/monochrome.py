"""Images without colour of their own: grey, grey in RGB, sepia, duotone, tinted.

In all of these colour is a function of lightness. A pale snow scene is not: it has little chroma, but L does not tell
where. So what is judged is the residual of a and b on a curve over L: beside the chroma, as a strong tint
leaves more of a residual, and beside the contrast, as a flat picture leaves nothing to tell.
"""

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, logistic, outlier_table, score_above
from recolor.color.arrays import Floats
from recolor.config.settings import MonochromeConfig
from recolor.manifests.schemas import MONOCHROME

# A logistic regression on logarithms (docs/decisions/2026-11-detectors.md), to each of which Lab units are added: what
# JPEG leaves in a grey picture, or what one hardly sees.
_NOISE, _SMALL = 0.5, 3.0
_TERMS = (  # column of the measurements, what is added to it, weight of the logarithm
    ("ab_residual_p90", _NOISE, 3.9),
    ("ab_residual_median", _NOISE, 1.8),
    ("chroma_mean", _SMALL, -2.5),
    ("contrast", _SMALL, -2.0),
)
_OFFSET = 9.8  # moved so that about two of a hundred photographs in colour are flagged
_GREY_CHROMA = 0.8  # Lab units, of the score 0.5: under 1 nobody sees a colour, whatever the noise's
COLUMNS = ("path", "ab_residual", *(name for name, _, _ in _TERMS))  # of the measurements


def score_monochrome(measurements: pa.Table) -> Floats:
    """Scores colour that can be seen and that lightness does not explain: 0 has none.

    Returns:
        float64 [rows], 1 where not decoded.
    """
    terms = [weight * np.log(column(measurements, name) + added) for name, added, weight in _TERMS]
    unexplained = logistic(np.sum(terms, axis=0) + _OFFSET)
    return np.minimum(unexplained, score_above(column(measurements, "chroma_mean"), _GREY_CHROMA))


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
    return f"{kind}: of a mean chroma of {chroma:.1f}, lightness leaves {residual:.2f} Lab units unexplained"


MONOCHROME_DETECTOR = Detector(
    schema=MONOCHROME,
    settings=lambda config: config.monochrome,
    columns=lambda _: COLUMNS,
    detect=detect_monochrome,
    score=score_monochrome,
)
