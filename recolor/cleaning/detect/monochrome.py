"""The detector of monochrome images: grey, grey in RGB, sepia, duotone, tinted.

In all of these, colour is a function of lightness. So it is in fog, on dunes and under a blue evening sky, nearly. The
score is therefore that of a small network. It was trained on how much colour a curve over L leaves unexplained, beside
the chroma and the contrast, and on where in photographs, and at which lightness, each colour occurs.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, logistic, outlier_table, score_above
from recolor.cleaning.measure.colour_network import COLUMNS as NETWORK_COLUMNS
from recolor.cleaning.measure.colour_network import colour_evidence, load_network
from recolor.color.arrays import Floats
from recolor.config.settings import MonochromeConfig
from recolor.manifests.schemas import MONOCHROME

NETWORK_FILE = Path(__file__).with_suffix(".npz")  # made by tools/fit_monochrome.py
_LIMIT, _STEEPNESS = -3.0, 0.7  # nats at which the score is 0.5: about 0.15% of photographs in colour are below
_GREY_CHROMA = 0.8  # Lab units, at which the score is 0.5: nobody sees a chroma below 1
_VISIBLE_CHROMA = 2.0  # Lab units, from which the reason names a tint
COLUMNS = ("path", *NETWORK_COLUMNS)  # of the measurements


def score_monochrome(measurements: pa.Table) -> Floats:
    """Returns the scores of colour that is a photograph's own, 0 for none.

    Returns:
        float64 [rows]; 1 for images that were not decoded.
    """
    evidence = colour_evidence(measurements, load_network(NETWORK_FILE))
    visible = score_above(column(measurements, "chroma_mean"), _GREY_CHROMA)
    return np.minimum(logistic(_STEEPNESS * (evidence - _LIMIT)), visible)


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
    if chroma < _VISIBLE_CHROMA:
        return f"grey: no visible colour (mean chroma {chroma:.1f}, visible from {_VISIBLE_CHROMA:.0f})"
    numbers = f"mean chroma {chroma:.1f}, of which lightness leaves {residual:.2f} Lab units unexplained"
    return f"one tint explains all colour: sepia, duotone or a filter ({numbers})"


MONOCHROME_DETECTOR = Detector(
    schema=MONOCHROME,
    settings=lambda config: config.monochrome,
    columns=lambda _: COLUMNS,
    detect=detect_monochrome,
    score=lambda measurements, _: score_monochrome(measurements),
    threshold=lambda config: config.threshold,
)
