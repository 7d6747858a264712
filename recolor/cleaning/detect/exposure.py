"""The detector of images in which nothing is to be seen: black, blown out, or blank.

Each of the three needs two signs, because each sign alone also occurs in good photographs.

- Black, or a night without detail: next to no pixel is light, and nothing small is (the moon, a lamp).
- Blown out: most pixels are clipped white, and the others are few or pale; or a fifth is clipped, and nothing is dark.
  Under a white sky a silhouette remains, and before snow a twig.
- Blank: no block has more structure than noise explains, and the image is a smooth surface: one colour or a gradient.
"""

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, outlier_table, score_above, score_below
from recolor.color.arrays import Floats
from recolor.config.settings import ExposureConfig
from recolor.manifests.schemas import EXPOSURE, EXPOSURE_MEASURES

COLUMNS = ("path", *(measure.name for measure in EXPOSURE_MEASURES))  # of the measurements

# The limits, at which a score is 0.5 (docs/decisions/2026-11-exposure-and-suggestions.md).
_LIGHT_L = 17.0  # of the lightest thousandth; dark nights that are worth keeping have 19, or a light spot
_SPOT_L = 22.0  # of the lightest spot
_CLIPPED = 0.5  # share of pixels
_CONTRAST = 0.28  # share of the other pixels, times their greatest distance from white (0 to 1)
_PARTLY_CLIPPED = 0.2  # share of pixels, if nothing is dark
_DARK_L = 45.0  # of the darkest spot
_STRUCTURE = 22.0  # grey²
_SURFACE = 10.0  # grey levels
_NOISE_BLOCKS = 2.0  # in pure noise, the energy of the richest block is at most twice that of the median
_MOST_NOISE = 100.0  # grey²; a median above this is texture


def score_exposure(measurements: pa.Table) -> Floats:
    """Returns how much is to be seen, 0 for nothing: the least of the three scores.

    Returns:
        float64 [rows]; 1 for images that were not decoded.
    """
    return np.asarray(_scores(measurements).min(axis=0))


def detect_exposure(measurements: pa.Table, config: ExposureConfig) -> pa.Table:
    """Returns the images in which nothing is to be seen, a table of `schemas.EXPOSURE`."""
    scores = _scores(measurements)
    score = scores.min(axis=0)
    rows = np.flatnonzero(score < config.threshold)
    kinds = (scores[:, rows] < config.threshold).argmax(axis=0)  # a black image is also blank: the first is named
    lights, clipped = column(measurements, "L_p999")[rows], column(measurements, "clipped")[rows]
    surfaces = column(measurements, "surface_residual")[rows]
    reasons = [_reason(*values) for values in zip(kinds.tolist(), lights, clipped, surfaces)]
    return outlier_table(
        EXPOSURE, measurements, rows=rows, score=score[rows], threshold=config.threshold, reasons=reasons
    )


def _scores(measurements: pa.Table) -> Floats:
    """Returns the scores of black, blown out and blank: float64 [3, rows]."""
    clipped, dark = column(measurements, "clipped"), column(measurements, "L_p1")
    black = np.maximum(
        score_above(column(measurements, "L_p999"), _LIGHT_L), score_above(column(measurements, "L_max"), _SPOT_L)
    )
    white = np.maximum(score_below(clipped, _CLIPPED), score_above((1 - clipped) * (1 - dark / 100), _CONTRAST))
    without_dark = np.maximum(
        score_below(clipped, _PARTLY_CLIPPED), score_below(column(measurements, "L_min"), _DARK_L)
    )
    blown_out = np.minimum(white, without_dark)
    noise = _NOISE_BLOCKS * np.minimum(column(measurements, "block_energy_median"), _MOST_NOISE)
    structure = np.maximum(column(measurements, "block_energy_max") - noise, 0.0)
    blank = np.maximum(
        score_above(structure, _STRUCTURE), score_above(column(measurements, "surface_residual"), _SURFACE)
    )
    return np.stack([black, blown_out, blank])


def _reason(kind: int, light: float, clipped: float, surface: float) -> str:
    match kind:
        case 0:
            return f"black: 99.9% of the pixels are darker than L {np.ceil(light):.0f} of 100"
        case 1:
            return f"blown out: {clipped:.0%} of the pixels are pure white, and little of the rest is dark"
        case _:
            return f"blank: one colour or a smooth gradient (99% of the pixels within {surface:.1f} grey levels of it)"


EXPOSURE_DETECTOR = Detector(
    schema=EXPOSURE,
    settings=lambda config: config.exposure,
    columns=lambda _: COLUMNS,
    detect=detect_exposure,
    score=lambda measurements, _: score_exposure(measurements),
    threshold=lambda config: config.threshold,
)
