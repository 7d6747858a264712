"""The detectors of images that are too small, too narrow or too wide."""

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import THRESHOLD, column, outlier_table, score_above, score_below
from recolor.color.arrays import Floats
from recolor.config.settings import ExtremeAspectConfig, LowResolutionConfig
from recolor.manifests.schemas import EXTREME_ASPECT, LOW_RESOLUTION

COLUMNS = ("path", "width_px", "height_px")  # of the measurements


def score_low_resolution(measurements: pa.Table, config: LowResolutionConfig) -> Floats:
    """Returns the scores of the short side, 0.5 at `min_side_px`.

    Returns:
        float64 [rows]; 1 if not decoded.
    """
    return score_above(np.fmin(column(measurements, "width_px"), column(measurements, "height_px")), config.min_side_px)


def detect_low_resolution(measurements: pa.Table, config: LowResolutionConfig) -> pa.Table:
    """Returns images whose short side is too short, a table of `schemas.LOW_RESOLUTION`."""
    score = score_low_resolution(measurements, config)
    rows = np.flatnonzero(score < THRESHOLD)
    sides = np.fmin(column(measurements, "width_px"), column(measurements, "height_px"))[rows]
    reasons = [f"too small: the short side is {side:.0f} px, the minimum {config.min_side_px} px" for side in sides]
    return outlier_table(
        LOW_RESOLUTION, measurements, rows=rows, score=score[rows], threshold=THRESHOLD, reasons=reasons
    )


def score_extreme_aspect(measurements: pa.Table, config: ExtremeAspectConfig) -> Floats:
    """Returns the scores of width over height, 0.5 at either limit.

    Returns:
        float64 [rows]; 1 if not decoded.
    """
    aspect = _aspect(measurements)
    narrow, wide = score_above(aspect, config.min_aspect), score_below(aspect, config.max_aspect)
    return np.minimum(narrow, wide)


def detect_extreme_aspect(measurements: pa.Table, config: ExtremeAspectConfig) -> pa.Table:
    """Returns images that are too narrow or wide, a table of `schemas.EXTREME_ASPECT`."""
    score = score_extreme_aspect(measurements, config)
    rows = np.flatnonzero(score < THRESHOLD)
    aspects = _aspect(measurements)[rows]
    reasons = [_reason(aspect, config) for aspect in aspects]
    numbers = {"aspect": pa.array(aspects, pa.float64())}
    return outlier_table(
        EXTREME_ASPECT,
        measurements,
        rows=rows,
        score=score[rows],
        threshold=THRESHOLD,
        reasons=reasons,
        numbers=numbers,
    )


def _reason(aspect: float, config: ExtremeAspectConfig) -> str:
    kind = "narrow" if aspect <= config.min_aspect else "wide"
    allowed = f"{config.min_aspect:g} to {config.max_aspect:g}"
    return f"too {kind}: {aspect:.2f} times as wide as high ({allowed} are allowed)"


def _aspect(measurements: pa.Table) -> Floats:
    return column(measurements, "width_px") / column(measurements, "height_px")


LOW_RESOLUTION_DETECTOR = Detector(
    schema=LOW_RESOLUTION,
    settings=lambda config: config.low_resolution,
    columns=lambda _: COLUMNS,
    detect=detect_low_resolution,
    score=score_low_resolution,
)
EXTREME_ASPECT_DETECTOR = Detector(
    schema=EXTREME_ASPECT,
    settings=lambda config: config.extreme_aspect,
    columns=lambda _: COLUMNS,
    detect=detect_extreme_aspect,
    score=score_extreme_aspect,
)
