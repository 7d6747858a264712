"""The stage `detect`: finds outliers from the measurements.

It opens no image, so a new threshold takes seconds: except for copies in several sizes, of which the larger may be an
enlargement.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.blurry import BLURRY_DETECTOR
from recolor.cleaning.detect.corrupt import CORRUPT_DETECTOR
from recolor.cleaning.detect.detector import Detector, S
from recolor.cleaning.detect.duplicate import DUPLICATE_DETECTOR
from recolor.cleaning.detect.enlargements import Photographs
from recolor.cleaning.detect.exposure import EXPOSURE_DETECTOR
from recolor.cleaning.detect.geometry import EXTREME_ASPECT_DETECTOR, LOW_RESOLUTION_DETECTOR
from recolor.cleaning.detect.monochrome import MONOCHROME_DETECTOR
from recolor.cleaning.detect.outlier_table import THRESHOLD
from recolor.cleaning.detect.skewed import SKEWED_DETECTOR
from recolor.cleaning.detect.too_large import TOO_LARGE_DETECTOR
from recolor.config.settings import Config
from recolor.errors import ConfigError
from recolor.manifests.io import find_rows, read_in_groups, write_manifest
from recolor.manifests.schemas import ISSUE_SCORES, MEASUREMENTS
from recolor.pipeline.cache import Counts, Outcome, Part, read_record, require_record, run_part
from recolor.pipeline.workspace import Workspace, indexed_images

DETECT_VERSION = 17

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


def detect_issue(workspace: Workspace, name: str, config: Config, images: Path | None = None) -> Outcome:
    """Writes `manifests/<name>.parquet`, the outliers for one issue, and the scores of all images.

    The scores are `manifests/scores/<name>_scores.parquet`. Before they change, `manifests/scores.parquet` is
    deleted: it would contradict them until `select` has run again.

    Args:
        workspace: Workspace with `measurements.parquet`.
        name: One of `ISSUES`.
        config: The settings of this issue are used, and the limits for reading photographs.
        images: Folder of the photographs; by default the one that was indexed last. What is not there is judged by its
            measurements alone.

    Raises:
        ConfigError: `name` is not an issue.
        MissingStageError: The images have not been measured.
    """
    check_issues([name])
    return _run_detector(workspace, DETECTORS[name], config, images)


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
    """Returns the outliers of one issue, `manifests/<name>.parquet`, and its scores as a part of the cache.

    Raises:
        MissingStageError: The images have not been measured.
    """
    source, settings = workspace.manifest("measurements"), DETECTORS[name].settings(config)
    inputs = {"measurements": require_record(source, "measure").content}
    outputs, sources = (workspace.manifest(name), workspace.issue_scores(name)), {"measurements": source}
    return Part(workspace, f"detect {name}", DETECT_VERSION, settings, inputs, outputs, sources)


def _run_detector(workspace: Workspace, detector: Detector[S], config: Config, images: Path | None) -> Outcome:
    part, settings = issue_part(workspace, detector.name, config), detector.settings(config)
    folder = images or indexed_images(workspace)
    photographs = None if folder is None else Photographs(folder, config.measure)

    def build(staging: Path) -> Counts:
        judged = _judge(detector, settings, part.sources["measurements"], photographs)
        for schema, table, path in zip((detector.schema, ISSUE_SCORES), (judged.outliers, judged.scores), part.outputs):
            write_manifest(schema, table, staging / path.name)
        before = read_record(part.record_path)
        if before is None or before.key != part.key:  # else a damaged file is made again
            workspace.manifest("scores").unlink(missing_ok=True)
        return {"images": len(judged.scores), "outliers": len(judged.outliers)}

    return run_part(part, build)


@dataclass(frozen=True, slots=True)
class _Judged:
    """The outliers among some images, and the scores of all of them, a table of `schemas.ISSUE_SCORES`."""

    outliers: pa.Table
    scores: pa.Table


def _judge(detector: Detector[S], settings: S, source: Path, photographs: Photographs | None) -> _Judged:
    columns = detector.columns(settings) if settings.enabled else ("path",)
    groups = read_in_groups(MEASUREMENTS, source, columns)
    if not settings.enabled:
        scores = pa.table([pa.nulls(sum(map(len, groups)), pa.float64())] * 2, schema=ISSUE_SCORES.arrow)
        return _Judged(detector.schema.arrow.empty_table(), scores)
    if detector.compact is not None:
        measurements = _concatenate([detector.compact(group, settings) for group in groups])
        if detector.look_again is not None and photographs is not None:
            measurements = detector.look_again(measurements, settings, photographs)
        return _judge_group(detector, settings, measurements)
    judged = [_judge_group(detector, settings, group) for group in groups]
    return _Judged(*(_concatenate([getattr(some, name) for some in judged]) for name in ("outliers", "scores")))


def _judge_group(detector: Detector[S], settings: S, measurements: pa.Table) -> _Judged:
    outliers = detector.detect(measurements, settings)
    if detector.score is not None:
        score = detector.score(measurements, settings)
    else:
        score = np.ones(len(measurements))
        score[find_rows(outliers["path"], measurements).to_numpy()] = outliers["score"].to_numpy()
    threshold = THRESHOLD if detector.threshold is None else detector.threshold(settings)
    columns = [pa.array(values, pa.float64()) for values in (score, np.full(len(score), threshold))]
    return _Judged(outliers, pa.table(columns, schema=ISSUE_SCORES.arrow))


def _concatenate(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)
