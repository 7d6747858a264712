"""Finds images just above a threshold, by running the detectors again with a looser limit."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect import DETECTORS
from recolor.cleaning.detect.blurry import detect_blurry
from recolor.cleaning.detect.duplicate import detect_duplicate, score_of
from recolor.cleaning.detect.exposure import detect_exposure
from recolor.cleaning.detect.geometry import score_extreme_aspect, score_low_resolution
from recolor.cleaning.detect.monochrome import detect_monochrome
from recolor.cleaning.detect.outlier_table import THRESHOLD
from recolor.cleaning.detect.skewed import detect_skewed
from recolor.color.arrays import Floats
from recolor.config.settings import Config, DuplicateConfig

NEAR_IMAGES = 24
_MARGIN = 0.2  # added to the threshold of the score
_SIZE_MARGIN = 0.05  # the same for scores of sizes: sides up to 1.2 times the limit
_MARGIN_SIMILARITY = 0.15  # subtracted from the limit of copies


@dataclass(frozen=True, slots=True)
class Found:
    """An image, with its score and reason.

    For a duplicate, `kept_path` is the copy that is kept.
    """

    path: str
    score: float
    reason: str
    kept_path: str | None = None


def near_misses(
    issue: str, measurements: pa.Table, config: Config, listed: Collection[str], threshold: float
) -> list[Found]:
    """Returns the images with the lowest scores above an issue's threshold, lowest first.

    Args:
        issue: One of `detect.ISSUES`.
        measurements: A table of `schemas.MEASUREMENTS`.
        config: The settings of the detectors.
        listed: Paths of the images that the issue lists.
        threshold: The threshold of the issue's manifest.
    """
    if not DETECTORS[issue].settings(config).enabled:
        return []
    looser = min(1.0, threshold + _MARGIN)
    match issue:
        case "duplicate":
            found = _nearly_copies(measurements, config.duplicate)
        case "low_resolution":
            found = _nearly_ill_sized(measurements, score_low_resolution(measurements, config.low_resolution))
        case "extreme_aspect":
            found = _nearly_ill_sized(measurements, score_extreme_aspect(measurements, config.extreme_aspect))
        case "monochrome":
            found = found_in(detect_monochrome(measurements, replace(config.monochrome, threshold=looser)))
        case "skewed":
            found = found_in(detect_skewed(measurements, replace(config.skewed, threshold=looser)))
        case "blurry":
            found = found_in(detect_blurry(measurements, replace(config.blurry, threshold=looser)))
        case "exposure":
            found = found_in(detect_exposure(measurements, replace(config.exposure, threshold=looser)))
        case _:  # an image cannot be nearly corrupt
            return []
    return sorted((item for item in found if item.path not in listed), key=_by_score)[:NEAR_IMAGES]


def found_in(table: pa.Table) -> list[Found]:
    """Returns the rows of an issue's table."""
    columns: list[list[Any]] = [table[name].to_pylist() for name in ("path", "score", "reason")]
    kept_paths = table["kept_path"].to_pylist() if "kept_path" in table.column_names else [None] * len(table)
    return [Found(*row) for row in zip(*columns, kept_paths)]


def _by_score(found: Found) -> tuple[float, str]:
    return found.score, found.path


def _nearly_copies(measurements: pa.Table, settings: DuplicateConfig) -> list[Found]:
    """Returns pairs that are a little less alike than copies, with a score above the threshold."""
    limit = settings.min_similarity
    table = detect_duplicate(measurements, replace(settings, min_similarity=max(0.0, limit - _MARGIN_SIMILARITY)))
    similarity = table["similarity"].to_numpy()
    scores = score_of(similarity, limit)
    near = zip(found_in(table), scores.tolist(), similarity.tolist())
    return [replace(found, score=score) for found, score, alike in near if alike < limit]


def _nearly_ill_sized(measurements: pa.Table, score: Floats) -> list[Found]:
    rows = np.flatnonzero(score < THRESHOLD + _SIZE_MARGIN)
    taken = measurements.select(["path", "width_px", "height_px"]).take(pa.array(rows, pa.int64())).to_pylist()
    return [
        Found(row["path"], float(score[at]), f"{row['width_px']} × {row['height_px']} px: within the limit")
        for at, row in zip(rows, taken)
    ]
