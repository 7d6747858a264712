"""The detector of monochrome images: grey, grey in RGB, sepia, duotone, tinted.

In all of these, colour is a function of lightness. A pale snow scene has little chroma too, but its colour does not
follow from its lightness. The score therefore uses the residual of a and b from a curve over L. It is compared with the
chroma, because a strong tint leaves a larger residual, and with the contrast, because the residual of a flat image says
little.
"""

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, logistic, outlier_table, score_above
from recolor.color.arrays import Floats
from recolor.config.settings import MonochromeConfig
from recolor.manifests.schemas import MONOCHROME

# A logistic regression on logarithms (docs/decisions/2026-11-detectors.md). Lab units are added to each measurement
# before the logarithm: the noise of JPEG in a grey image, or a difference that is hardly visible.
_NOISE, _SMALL = 0.5, 3.0
_TERMS = (  # column of the measurements, Lab units added to it, weight of the logarithm
    ("ab_residual_p90", _NOISE, 3.9),
    ("ab_residual_median", _NOISE, 1.8),
    ("chroma_mean", _SMALL, -2.5),
    ("contrast", _SMALL, -2.0),
)
_OFFSET = 9.8  # set so that about 2% of colour photographs are flagged
_GREY_CHROMA = 0.8  # Lab units, at which the score is 0.5: nobody sees a chroma below 1
COLUMNS = ("path", "ab_residual", *(name for name, _, _ in _TERMS))  # of the measurements


def score_monochrome(measurements: pa.Table) -> Floats:
    """Returns the scores of visible colour that lightness does not explain, 0 for none.

    Returns:
        float64 [rows]; 1 for images that were not decoded.
    """
    terms = [weight * np.log(column(measurements, name) + added) for name, added, weight in _TERMS]
    unexplained = logistic(np.sum(terms, axis=0) + _OFFSET)
    return np.minimum(unexplained, score_above(column(measurements, "chroma_mean"), _GREY_CHROMA))


def detect_monochrome(measurements: pa.Table, config: MonochromeConfig) -> pa.Table:
    """Returns the monochrome images, a table of `schemas.MONOCHROME`."""
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
