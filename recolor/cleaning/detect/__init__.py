"""The stage `detect`: measurements in, outliers out. No image is opened, so another threshold takes moments."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from recolor.cleaning.detect import blurry, corrupt, duplicate, geometry, monochrome, skewed
from recolor.config.settings import Config
from recolor.errors import ConfigError
from recolor.manifests.io import read_in_groups, write_manifest
from recolor.manifests.schemas import ISSUES as ISSUE_SCHEMAS
from recolor.manifests.schemas import MEASUREMENTS
from recolor.pipeline.cache import Outcome, Part, require_record, run_part
from recolor.pipeline.workspace import Workspace

DETECT_VERSION = 7

Detector = Callable[[pa.Table, Any], pa.Table]

# Name of the issue, of its table in the settings and of its manifest -> judge of the measurements.
DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "corrupt": corrupt.detect_corrupt,
        "duplicate": duplicate.detect_duplicate,
        "monochrome": monochrome.detect_monochrome,
        "skewed": skewed.detect_skewed,
        "blurry": blurry.detect_blurry,
        "low_resolution": geometry.detect_low_resolution,
        "extreme_aspect": geometry.detect_extreme_aspect,
    }
)
# Name of the issue -> columns of the measurements that its detector looks at; the others are not even read.
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "corrupt": corrupt.COLUMNS,
        "duplicate": duplicate.COLUMNS,
        "monochrome": monochrome.COLUMNS,
        "skewed": skewed.COLUMNS,
        "blurry": blurry.COLUMNS,
        "low_resolution": geometry.COLUMNS,
        "extreme_aspect": geometry.COLUMNS,
    }
)
ISSUES: tuple[str, ...] = tuple(DETECTORS)
# Images of these are outliers beside the others only -> what of some rows is kept in memory until all are there.
_JUDGED_TOGETHER: Mapping[str, Detector] = MappingProxyType(
    {"duplicate": duplicate.slim_duplicate, "skewed": skewed.slim_skewed}
)
LONGEST_FIRST = sorted(ISSUES, key=lambda name: name not in _JUDGED_TOGETHER)  # so that all end at about the same time


def detect_issue(workspace: Workspace, name: str, config: Config) -> Outcome:
    """Writes `manifests/<name>.parquet`: the outliers of one issue, in the order of their paths.

    Args:
        workspace: Where `measurements.parquet` lies.
        name: One of `ISSUES`.
        config: Its field of that name alone matters.

    Raises:
        ConfigError: There is no such issue.
        MissingStageError: The measurements are not there.
    """
    if name not in DETECTORS:
        raise ConfigError(f"{name!r}: there is no such issue. Allowed: {', '.join(ISSUES)}.")
    source, target = workspace.manifest("measurements"), workspace.manifest(name)
    settings = getattr(config, name)
    inputs = {"measurements": require_record(source, "measure").content}
    sources = {"measurements": source}
    part = Part(workspace, f"detect {name}", DETECT_VERSION, settings, inputs, (target,), sources)
    return run_part(part, lambda staging: _detect(name, settings, source, staging / target.name))


def count_singly(measurements: pa.Table, config: Config) -> Counter[str]:
    """Outliers among some of the images, by issue: what is known before all are measured.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        config: The detectors' settings.

    Returns:
        Counts of the issues that are enabled and judge each image by itself.
    """
    issues = [name for name in ISSUES if name not in _JUDGED_TOGETHER and getattr(config, name).enabled]
    return Counter({name: len(DETECTORS[name](measurements, getattr(config, name))) for name in issues})


def columns_of(name: str, settings: Any) -> tuple[str, ...]:
    """Columns of the measurements that a detector looks at with these settings; the others are not even read."""
    return duplicate.columns(settings) if name == "duplicate" else COLUMNS[name]


def _detect(name: str, settings: Any, source: Path, target: Path) -> dict[str, int]:
    schema = ISSUE_SCHEMAS[name]
    columns = columns_of(name, settings) if settings.enabled else ("path",)
    groups = read_in_groups(MEASUREMENTS, source, columns)
    if not settings.enabled:
        images, outliers = sum(len(group) for group in groups), schema.arrow.empty_table()
    elif name in _JUDGED_TOGETHER:
        measurements = _joined([_JUDGED_TOGETHER[name](group, settings) for group in groups])
        images, outliers = len(measurements), DETECTORS[name](measurements, settings)
    else:
        judged = [(len(group), DETECTORS[name](group, settings)) for group in groups]
        images, outliers = sum(rows for rows, _ in judged), _joined([found for _, found in judged])
    write_manifest(schema, outliers, target)
    return {"images": images, "outliers": len(outliers)}


def _joined(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)
