"""What another limit of an issue would list, before anything is detected again."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from recolor.app.review import Review
from recolor.cleaning.decisions import Decision
from recolor.cleaning.detect import DETECTORS
from recolor.cleaning.detect.outlier_table import THRESHOLD
from recolor.cleaning.select import judge
from recolor.color.arrays import Floats
from recolor.config.loading import overlay
from recolor.config.settings import Config
from recolor.errors import InputError

_MOST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Limit:
    """A setting that decides which images an issue lists, and the range in which a slider changes it.

    Attributes:
        issue: Name of the issue.
        setting: Name of the setting, such as `threshold`.
        label: Its meaning, as the page calls it.
        least: Lowest value of the slider.
        most: Highest value.
        step: Step of the slider.
    """

    issue: str
    setting: str
    label: str
    least: float
    most: float
    step: float

    @property
    def name(self) -> str:
        """Dotted name of the setting."""
        return f"{self.issue}.{self.setting}"

    def value(self, config: Config) -> float:
        """Returns the value of the setting."""
        return float(getattr(getattr(config, self.issue), self.setting))

    def changed(self, config: Config, value: float) -> Config:
        """Returns the settings with another value.

        Raises:
            ConfigError: The value is not allowed.
        """
        is_whole = isinstance(getattr(getattr(config, self.issue), self.setting), int) and math.isfinite(value)
        return overlay(config, {self.issue: {self.setting: int(value) if is_whole else value}})


LIMITS: tuple[Limit, ...] = (
    Limit("duplicate", "min_similarity", "Least similarity of copies", 0.4, 0.98, 0.01),
    *(
        Limit(issue, "threshold", "Threshold of the score", 0.0, 1.0, 0.01)
        for issue in ("monochrome", "skewed", "blurry", "exposure")
    ),
    Limit("low_resolution", "min_side_px", "Least short side, px", 1, 2048, 1),
    Limit("extreme_aspect", "min_aspect", "Least width / height", 0.05, 1.0, 0.01),
    Limit("extreme_aspect", "max_aspect", "Largest width / height", 1.0, 10.0, 0.05),
)
_BY_NAME: Mapping[str, Limit] = MappingProxyType({limit.name: limit for limit in LIMITS})


@dataclass(frozen=True, slots=True)
class Moved:
    """An image that another limit would reject or keep, with its score."""

    path: str
    score: float


@dataclass(frozen=True, slots=True)
class Preview:
    """What another limit of an issue would change.

    Attributes:
        listed: Number of images that the issue would list.
        listed_now: Number of images that it lists now.
        rejected: Images that would be rejected and are kept now, nearest to the limit first; at most 60.
        kept: Images that would be kept and are rejected now, nearest to the limit first; at most 60.
        all_rejected: Number of all images that would be rejected and are kept now.
        all_kept: Number of all images that would be kept and are rejected now.
    """

    listed: int
    listed_now: int
    rejected: tuple[Moved, ...]
    kept: tuple[Moved, ...]
    all_rejected: int
    all_kept: int


def find_limit(name: str) -> Limit:
    """Returns a limit by the dotted name of its setting.

    Raises:
        InputError: There is none of that name.
    """
    if name not in _BY_NAME:
        raise InputError(f"{name!r} cannot be changed here. Allowed: {', '.join(_BY_NAME)}.")
    return _BY_NAME[name]


def preview_limit(review: Review, decisions: Mapping[str, Decision], limit: Limit, value: float) -> Preview:
    """Returns what would be listed with another value of a limit. No image is opened.

    Decisions and other issues are taken into account: an image that `blurry` no longer lists is still rejected if it is
    too small. Copies are grouped by their measurements alone; detecting them again also opens those of several sizes.

    Args:
        review: What the detectors say now.
        decisions: The decisions of `decisions.csv`, by path.
        limit: The limit.
        value: The value.

    Raises:
        ConfigError: The value is not allowed.
    """
    issue, measurements = limit.issue, review.detected.measurements
    table, scores = _detected(review, limit, value)
    before = review.rejected(decisions)
    after = judge({**review.detected.issues, issue: table}, decisions, measurements).keys()
    border = value if limit.setting == "threshold" else THRESHOLD

    def moved(paths: set[str]) -> tuple[Moved, ...]:
        found = [Moved(path, scores(path)) for path in paths]
        return tuple(sorted(found, key=lambda one: (abs(one.score - border), one.path))[:_MOST_SHOWN])

    rejected, kept = set(after - before), set(before - after)
    return Preview(len(table), len(review.listed(issue)), moved(rejected), moved(kept), len(rejected), len(kept))


def _detected(review: Review, limit: Limit, value: float) -> tuple[pa.Table, Callable[[str], float]]:
    """Returns the outliers with another value of a limit, and a function that gives the score of an image."""
    config = limit.changed(review.config, value)
    measurements = review.detected.measurements
    if limit.setting == "threshold":
        scores = review.scores(limit.issue)
        table = _below(measurements["path"], scores, value)
    else:
        detector = DETECTORS[limit.issue]
        settings: Any = replace(detector.settings(config), enabled=True)
        measured = measurements if detector.compact is None else detector.compact(measurements, settings)
        table = detector.detect(measured, settings)
        if detector.score is None:
            of_outliers = dict(zip(table["path"].to_pylist(), table["score"].to_pylist()))
            return table, lambda path: float(of_outliers.get(path, 1.0))
        scores = detector.score(measured, settings)
    return table, lambda path: float(scores[review.rows[path]])


def _below(paths: pa.ChunkedArray, scores: Floats, threshold: float) -> pa.Table:
    """Returns the images that score below a threshold, with the columns that a verdict needs."""
    rows = np.flatnonzero(scores < threshold)
    columns = [paths.take(pa.array(rows)), pa.array([""] * len(rows), pa.string()), pa.array(scores[rows])]
    return pa.table(columns, ["path", "reason", "score"])
