"""The stage `detect`: measurements in, outliers out. No image is opened, so another threshold takes moments."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from recolor.config import Config
from recolor.detect.blurry import detect_blurry
from recolor.detect.corrupt import detect_corrupt
from recolor.detect.duplicate import detect_duplicate
from recolor.detect.geometry import detect_extreme_aspect, detect_low_resolution
from recolor.detect.monochrome import detect_monochrome
from recolor.detect.skewed import detect_skewed
from recolor.errors import ConfigError
from recolor.manifest import read_table, write_manifest
from recolor.schemas import ISSUES as ISSUE_SCHEMAS
from recolor.schemas import MEASUREMENTS
from recolor.stage import Outcome, Part, require_record, run_part
from recolor.workspace import Workspace

DETECT_VERSION = 5

Detector = Callable[[pa.Table, Any], pa.Table]

# Name of the issue, of its table in the settings and of its manifest -> judge of the measurements.
DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "corrupt": detect_corrupt,
        "duplicate": detect_duplicate,
        "monochrome": detect_monochrome,
        "skewed": detect_skewed,
        "blurry": detect_blurry,
        "low_resolution": detect_low_resolution,
        "extreme_aspect": detect_extreme_aspect,
    }
)
ISSUES: tuple[str, ...] = tuple(DETECTORS)


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
    part = Part(workspace, f"detect {name}", DETECT_VERSION, settings, inputs, (target,))
    return run_part(part, lambda staging: _detect(name, settings, source, staging / target.name))


def _detect(name: str, settings: Any, source: Path, target: Path) -> dict[str, int]:
    measurements = read_table(MEASUREMENTS, source)
    schema = ISSUE_SCHEMAS[name]
    outliers = DETECTORS[name](measurements, settings) if settings.enabled else schema.arrow.empty_table()
    write_manifest(schema, outliers, target)
    return {"images": len(measurements), "outliers": len(outliers)}
