"""The detector of monochrome images: grey, grey in RGB, sepia, duotone, tinted.

In all of these, colour is a function of lightness. A pale snow scene has little chroma too, but its colour does not
follow from its lightness. The score therefore uses the residual of a and b from a curve over L. It is compared with the
chroma, because a strong tint leaves a larger residual, and with the contrast, because the residual of a flat image says
little.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, logistic, outlier_table, score_above
from recolor.color.arrays import Floats
from recolor.config.settings import MonochromeConfig
from recolor.manifests.schemas import MONOCHROME

WEIGHTS_FILE = Path(__file__).with_suffix(".npz")  # made by tools/fit_monochrome.py
# Lab units are added to each measurement before the logarithm: the noise of JPEG in a grey image, or a difference that
# is hardly visible.
_NOISE, _SMALL = 0.5, 3.0
_GREY_CHROMA = 0.8  # Lab units, at which the score is 0.5: nobody sees a chroma below 1
COLUMNS = ("path", "ab_residual_p90", "ab_residual_median", "chroma_mean", "contrast")  # of the measurements


def score_monochrome(measurements: pa.Table) -> Floats:
    """Returns the scores of visible colour that lightness does not explain, 0 for none.

    Returns:
        float64 [rows]; 1 for images that were not decoded.
    """
    weights = _weights()
    unexplained = logistic(terms(*(column(measurements, name) for name in COLUMNS[1:])) @ weights[:-1] + weights[-1])
    return np.minimum(unexplained, score_above(column(measurements, "chroma_mean"), _GREY_CHROMA))


def terms(p90: Floats, median: Floats, chroma: Floats, contrast: Floats) -> Floats:
    """Returns the terms of the logistic regression: float64 [rows, 6].

    The weight of the chroma is not the same in pale pictures and in tinted ones, hence three terms of it.
    """
    log_chroma = np.log(chroma + 1.0)
    logarithms = np.log(p90 + _NOISE), np.log(median + _NOISE), np.log(chroma + _SMALL), np.log(contrast + _SMALL)
    return np.column_stack([*logarithms, log_chroma, log_chroma * log_chroma])


@cache
def _weights() -> Floats:
    with np.load(WEIGHTS_FILE) as file:
        return np.asarray(file["weights"], np.float64)


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
    columns=lambda _: (*COLUMNS, "ab_residual"),
    detect=detect_monochrome,
    score=score_monochrome,
)
