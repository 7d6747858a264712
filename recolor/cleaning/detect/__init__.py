"""The stage `detect`: finds outliers from the measurements.

It opens no image, so a new threshold takes seconds.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from recolor.cleaning.detect.blurry import BLURRY_DETECTOR
from recolor.cleaning.detect.corrupt import CORRUPT_DETECTOR
from recolor.cleaning.detect.detector import Detector, S
from recolor.cleaning.detect.duplicate import DUPLICATE_DETECTOR
from recolor.cleaning.detect.exposure import EXPOSURE_DETECTOR
from recolor.cleaning.detect.geometry import EXTREME_ASPECT_DETECTOR, LOW_RESOLUTION_DETECTOR
from recolor.cleaning.detect.monochrome import MONOCHROME_DETECTOR
from recolor.cleaning.detect.skewed import SKEWED_DETECTOR
from recolor.cleaning.detect.too_large import TOO_LARGE_DETECTOR
from recolor.config.settings import Config
from recolor.errors import ConfigError
from recolor.manifests.io import read_in_groups, write_manifest
from recolor.manifests.schemas import MEASUREMENTS
from recolor.pipeline.cache import Outcome, Part, require_record, run_part
from recolor.pipeline.workspace import Workspace

DETECT_VERSION = 11

DETECTORS: Mapping[str, Detector[Any]] = MappingProxyType(
    {
        detector.name: detector
        for detector in (
            CORRUPT_DETECTOR,
            TOO_LARGE_DETECTOR,
            DUPLICATE_DETECTOR,
            MONOCHROME_DETECTOR,
            SKEWED_DETECTOR,
            BLURRY_DETECTOR,
            EXPOSURE_DETECTOR,
            LOW_RESOLUTION_DETECTOR,
            EXTREME_ASPECT_DETECTOR,
        )
    }
)
ISSUES: tuple[str, ...] = tuple(DETECTORS)
# Detectors that compare images take longest. They are started first, so that all end at about the same time.
LONGEST_FIRST = sorted(ISSUES, key=lambda name: DETECTORS[name].compact is None)


def detect_issue(workspace: Workspace, name: str, config: Config) -> Outcome:
    """Writes `manifests/<name>.parquet`: the outliers for one issue, sorted by path.

    Args:
        workspace: Workspace with `measurements.parquet`.
        name: One of `ISSUES`.
        config: Only the settings of this issue are used.

    Raises:
        ConfigError: `name` is not an issue.
        MissingStageError: The images have not been measured.
    """
    check_issues([name])
    return _run_detector(workspace, DETECTORS[name], config)


def check_issues(names: Iterable[str]) -> None:
    """Checks the names of issues.

    Raises:
        ConfigError: One is not an issue; the message names the nearest one.
    """
    for name in names:
        if name not in DETECTORS:
            near = difflib.get_close_matches(name, ISSUES, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{name!r} is not an issue.{hint} Allowed: {', '.join(ISSUES)}.")


def count_outliers(measurements: pa.Table, config: Config) -> Counter[str]:
    """Returns the number of outliers among some images, for the progress of `measure`.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        config: Settings of the detectors.

    Returns:
        Counts by issue, for the enabled detectors that look at each image by itself.
    """
    counts: Counter[str] = Counter()
    for detector in DETECTORS.values():
        settings = detector.settings(config)
        if settings.enabled and detector.compact is None:
            counts[detector.name] = len(detector.detect(measurements, settings))
    return counts


def issue_part(workspace: Workspace, name: str, config: Config) -> Part:
    """Returns the outliers of one issue, `manifests/<name>.parquet`, as a part of the cache.

    Raises:
        MissingStageError: The images have not been measured.
    """
    source, settings = workspace.manifest("measurements"), DETECTORS[name].settings(config)
    inputs = {"measurements": require_record(source, "measure").content}
    outputs, sources = (workspace.manifest(name),), {"measurements": source}
    return Part(workspace, f"detect {name}", DETECT_VERSION, settings, inputs, outputs, sources)


def _run_detector(workspace: Workspace, detector: Detector[S], config: Config) -> Outcome:
    source, target = workspace.manifest("measurements"), workspace.manifest(detector.name)
    part, settings = issue_part(workspace, detector.name, config), detector.settings(config)
    return run_part(part, lambda staging: _write_outliers(detector, settings, source, staging / target.name))


def _write_outliers(detector: Detector[S], settings: S, source: Path, target: Path) -> dict[str, int]:
    columns = detector.columns(settings) if settings.enabled else ("path",)
    groups = read_in_groups(MEASUREMENTS, source, columns)
    if not settings.enabled:
        images, outliers = sum(len(group) for group in groups), detector.schema.arrow.empty_table()
    elif detector.compact is not None:
        measurements = _concatenate([detector.compact(group, settings) for group in groups])
        images, outliers = len(measurements), detector.detect(measurements, settings)
    else:
        judged = [(len(group), detector.detect(group, settings)) for group in groups]
        images, outliers = sum(rows for rows, _ in judged), _concatenate([found for _, found in judged])
    write_manifest(detector.schema, outliers, target)
    return {"images": images, "outliers": len(outliers)}


def _concatenate(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)
