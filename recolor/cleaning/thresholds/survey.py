"""Counts the images that each limit of the detectors rejects.

Each limit is tried at its current and at other values.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recolor.cleaning.detect import DETECTORS
from recolor.cleaning.detect.outlier_table import column
from recolor.cleaning.thresholds.gap import log_odds, suggest_threshold
from recolor.color.arrays import Floats
from recolor.config.settings import Config
from recolor.manifests.io import read_table
from recolor.manifests.schemas import MEASUREMENTS
from recolor.pipeline.cache import require_record
from recolor.pipeline.workspace import Workspace

LEAST_LOG_ODDS, MOST_LOG_ODDS = 6.0, 18.0  # the histogram ends with the scores, between these bounds
COLUMNS = 64  # columns of a histogram
_SCORES = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9)
_FACTORS = (0.5, 0.75, 1.0, 4 / 3, 2.0)

Axis = Literal["score", "ratio"]


def _score(issue: str, measurements: pa.Table) -> Floats:
    detector = DETECTORS[issue]
    assert detector.score is not None
    return detector.score(measurements, detector.settings(Config()))


# The scores of the detectors whose threshold is a setting: they do not depend on the settings.
SCORERS = {name: partial(_score, name) for name, detector in DETECTORS.items() if detector.threshold is not None}


@dataclass(frozen=True, slots=True)
class Step:
    """Number of images that a limit would reject."""

    limit: float
    images: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values in `COLUMNS` equal steps along an axis.

    Attributes:
        axis: `score`: log-odds of scores; `ratio`: logarithms.
        low: Start of the first step, on that axis.
        high: End of the last step. Values outside of `low` to `high` are counted in the outermost step.
        counts: Images per step.
    """

    axis: Axis
    low: float
    high: float
    counts: tuple[int, ...]

    def at(self, value: float) -> int:
        """Returns the index of the step that contains a value."""
        return int(_steps(np.array([value]), self.axis, self.low, self.high)[0])


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The effect of one setting on the data set.

    Attributes:
        setting: Such as `blurry.threshold`.
        judged: Number of images that the detector judges: all that can be decoded.
        present: Current value of the setting.
        suggested: Suggested value; None if the data suggest none.
        steps: Images rejected at some values, ascending, which include the current and the suggested value.
        histogram: Histogram of the values that are compared with the setting.
    """

    setting: str
    judged: int
    present: float
    suggested: float | None
    steps: tuple[Step, ...]
    histogram: Histogram


def suggest(workspace: Workspace, config: Config) -> tuple[Suggestion, ...]:
    """Counts what the limits of the enabled detectors reject, and suggests thresholds.

    Thresholds on scores get a suggestion. Limits of size and shape get counts only, because they depend on the use of
    the images and not on the data.

    Raises:
        MissingStageError: The images have not been measured.
    """
    source = workspace.manifest("measurements")
    require_record(source, "measure")
    table = read_table(MEASUREMENTS, source)
    table = table.filter(table["reason"].is_null())
    return (*_of_scores(table, config), *_of_shape(table, config))


def _of_scores(table: pa.Table, config: Config) -> list[Suggestion]:
    suggestions = []
    for issue, score in SCORERS.items():
        settings = DETECTORS[issue].settings(config)
        if settings.enabled and len(table):
            scores, present = score(table), settings.threshold
            suggested = suggest_threshold(scores, present)
            limits = {*_SCORES, present} | ({suggested} if suggested is not None else set())
            along = log_odds(scores)
            low, high = np.clip([-along.min(), along.max()], LEAST_LOG_ODDS, MOST_LOG_ODDS)
            histogram = _histogram(scores, "score", -float(low), float(high))
            steps = _count(scores, limits, below=True)
            suggestions.append(Suggestion(f"{issue}.threshold", len(table), present, suggested, steps, histogram))
    return suggestions


def _of_shape(table: pa.Table, config: Config) -> list[Suggestion]:
    width, height = column(table, "width_px"), column(table, "height_px")
    small, shape, suggestions = config.low_resolution, config.extreme_aspect, []
    if small.enabled and len(table):
        limits = {float(round(small.min_side_px * factor)) for factor in _FACTORS}
        suggestions.append(
            _limit("low_resolution.min_side_px", np.fmin(width, height), small.min_side_px, limits, True)
        )
    if shape.enabled and len(table):
        narrow = {round(min(shape.min_aspect * factor, 1.0), 2) for factor in _FACTORS} | {shape.min_aspect}
        wide = {round(max(shape.max_aspect * factor, 1.0), 2) for factor in _FACTORS} | {shape.max_aspect}
        aspect = width / height
        suggestions.append(_limit("extreme_aspect.min_aspect", aspect, shape.min_aspect, narrow, True))
        suggestions.append(_limit("extreme_aspect.max_aspect", aspect, shape.max_aspect, wide, False))
    return suggestions


def _limit(setting: str, values: Floats, present: float, limits: set[float], below: bool) -> Suggestion:
    ends = np.log([min(values.min(), *limits), max(values.max(), *limits)])
    histogram = _histogram(values, "ratio", float(ends[0]), float(ends[1]))
    return Suggestion(setting, len(values), present, None, _count(values, limits, below=below), histogram)


def _count(values: Floats, limits: set[float], *, below: bool) -> tuple[Step, ...]:
    return tuple(
        Step(limit, int(np.count_nonzero(values < limit if below else values > limit))) for limit in sorted(limits)
    )


def _histogram(values: Floats, axis: Axis, low: float, high: float) -> Histogram:
    counts = np.bincount(_steps(values, axis, low, high), minlength=COLUMNS)
    return Histogram(axis, low, high, tuple(counts.tolist()))


def _steps(values: Floats, axis: Axis, low: float, high: float) -> NDArray[np.int64]:
    along = log_odds(values) if axis == "score" else np.log(values)
    share = (along - low) / max(high - low, 1e-9)
    return np.asarray(np.clip(np.floor(share * COLUMNS), 0, COLUMNS - 1), np.int64)
