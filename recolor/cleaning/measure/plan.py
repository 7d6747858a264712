"""The stage `measure`: plans parts, measures them, and merges the finished parts.

A part is a Parquet file in `manifests/parts`, named by its key. An image is identified by its path, size and
modification time, and its measurement is reused from whichever part holds it. `measurements.parquet` therefore depends
neither on the size of the parts nor on the order in which images were added. An image that could not be read is
measured again when it can be opened.
"""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recolor.cleaning.measure.isolation import measure_apart
from recolor.config.settings import Config, ExecutionConfig, MeasureConfig
from recolor.errors import InputError, MissingStageError, SchemaError
from recolor.manifests.io import ROW_GROUP_ROWS, find_rows, manifest_writer, read_table, write_manifest
from recolor.manifests.names import decode_path
from recolor.manifests.schemas import INDEX, MEASUREMENTS
from recolor.pipeline.cache import (
    Outcome,
    Part,
    current_record,
    fingerprint,
    outputs_present,
    read_record,
    record_path,
    require_record,
    run_part,
)
from recolor.pipeline.parallel import MAX_PARTS, decoding, worker_count
from recolor.pipeline.storage import storage_errors
from recolor.pipeline.workspace import Workspace

STAGE = "measure"
MEASURE_VERSION = 13
PROCESSES_FROM_IMAGES = 1  # always: a file may crash its decoder, or never return from it
_MIN_PART_IMAGES = 16
_PARTS_PER_WORKER = 8  # so that all workers finish at about the same time

_IDENTITY = [column.name for column in INDEX.columns]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MeasurePart:
    """Images to measure together, as row numbers of `index.parquet`."""

    rows: tuple[int, ...]

    def __str__(self) -> str:
        return f"{len(self.rows)} images from row {self.rows[0]}"


@dataclass(frozen=True, slots=True)
class MeasurePlan:
    """Plan of a run.

    Attributes:
        missing: The parts to measure.
        reused: Number of images that have a measurement already.
    """

    missing: tuple[MeasurePart, ...]
    reused: int


@dataclass(frozen=True, slots=True)
class _Finished:
    """A finished part: file, content fingerprint, modification time and rows.

    A row holds the identity of an image, and its reason.
    """

    path: Path
    content: str
    mtime_ns: int
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class _Needed:
    """The rows of a finished part that the index needs.

    `rows` are row numbers in the part, `index_rows` in the index.
    """

    part: _Finished
    rows: NDArray[np.int64]
    index_rows: NDArray[np.int64]


def plan_measure(workspace: Workspace, images: Path, config: Config) -> MeasurePlan:
    """Returns the images without a measurement with these settings, divided into parts.

    An image that could not be read is measured again as soon as it can be opened: a change of permissions or a repaired
    disk changes neither its size nor its modification time.

    Args:
        workspace: Workspace with `index.parquet` and the finished parts.
        images: The folder that was indexed.
        config: `measure` is part of each part's key. `execution` gives the number of images in a part: fewer than
            configured if a worker would get no part, more if there would be more than `MAX_PARTS` parts.

    Raises:
        MissingStageError: The index does not exist.
    """
    index = read_table(INDEX, workspace.manifest("index"))
    needed = _needed_rows(index, list(_finished_parts(workspace, config.measure)))
    measured = np.zeros(len(index), bool)
    for found in needed:
        measured[found.index_rows] = ~_readable_again(images, found)
    missing = np.flatnonzero(~measured).tolist()
    size = _part_images(len(missing), config.execution)
    parts = tuple(MeasurePart(tuple(missing[start : start + size])) for start in range(0, len(missing), size))
    return MeasurePlan(parts, int(measured.sum()))


def _part_images(missing: int, execution: ExecutionConfig) -> int:
    """Returns the number of images in a part; see `plan_measure`."""
    enough = max(_MIN_PART_IMAGES, math.ceil(missing / (_PARTS_PER_WORKER * worker_count(execution))))
    return max(min(execution.part_images, enough), math.ceil(missing / MAX_PARTS))


@contextmanager
def measuring(plan: MeasurePlan, config: Config) -> Iterator[Config]:
    """Starts worker processes for measuring while the context is open.

    If there is nothing to measure, none are started.

    Args:
        plan: The parts to measure.
        config: `execution` gives the number of processes.

    Yields:
        The settings to measure with. They run one part more than there are processes, so that no process is idle while
        a part is written.
    """
    images = sum(len(part.rows) for part in plan.missing)
    with decoding(images, config.execution, PROCESSES_FROM_IMAGES, calls=len(plan.missing)) as in_processes:
        workers = worker_count(config.execution) + in_processes
        yield replace(config, execution=replace(config.execution, workers=workers))


def measure_part(workspace: Workspace, images: Path, part: MeasurePart, config: Config) -> Outcome:
    """Measures the images of a part, whether or not they were measured before.

    Each is read and decoded once.

    Args:
        workspace: Workspace with `index.parquet`; the part is written to it.
        images: The folder that was indexed.
        part: Rows of the index, from `plan_measure`.
        config: Only `measure` is used.

    Raises:
        MissingStageError: The index does not exist.
        InputError: The index has changed since the part was planned.
        StorageError: The part could not be written.
    """
    index = read_table(INDEX, workspace.manifest("index"))
    if max(part.rows, default=-1) >= len(index):
        raise InputError(f"{workspace.manifest('index')}: changed since this part was planned. Run `recolor measure`.")
    identities = index.take(pa.array(part.rows, pa.int64()))
    made = _part(workspace, identities, config.measure)
    name = made.outputs[0].name
    # A planned part is always to be measured. A finished part with the same images, and so the same key, holds images
    # that could not be read before: its record is deleted, or it would be reused.
    with storage_errors(made.outputs[0]):
        made.record_path.unlink(missing_ok=True)
    return run_part(made, lambda staging: _measure(images, identities, config.measure, staging / name))


def part_rows(workspace: Workspace, part: MeasurePart, config: Config) -> pa.Table:
    """Returns the rows of a finished part, a table of `schemas.MEASUREMENTS`.

    Raises:
        MissingStageError: The part has not been measured.
    """
    identities = read_table(INDEX, workspace.manifest("index")).take(pa.array(part.rows, pa.int64()))
    return read_table(MEASUREMENTS, _part(workspace, identities, config.measure).outputs[0])


def merge_measurements(workspace: Workspace, config: Config) -> Outcome:
    """Writes `manifests/measurements.parquet`, one row for each image of the index.

    The rows are in the order of the index. Damaged parts, and parts of these settings without a needed row, are deleted
    afterwards. Parts of other settings are kept, so that returning to those settings measures nothing again.

    Raises:
        MissingStageError: The index does not exist, or images have no measurement.
        StorageError: The manifest could not be written.
    """
    index = read_table(INDEX, workspace.manifest("index"))
    finished = list(_finished_parts(workspace, config.measure))
    needed = _needed_rows(index, finished)
    merged = _merged_part(workspace, index, needed, config)
    outcome = run_part(merged, lambda staging: _merge(needed, len(index), staging / merged.outputs[0].name))
    with storage_errors(workspace.measured_parts):
        _delete_parts(workspace, {part.path for part in finished} - {found.part.path for found in needed})
    return outcome


def measurements_part(workspace: Workspace, config: Config) -> Part:
    """Returns the merged measurements, `manifests/measurements.parquet`, as a part of the cache.

    Raises:
        MissingStageError: The index does not exist, or images have no measurement.
    """
    index = read_table(INDEX, workspace.manifest("index"))
    needed = _needed_rows(index, list(_finished_parts(workspace, config.measure)))
    return _merged_part(workspace, index, needed, config)


def _merged_part(workspace: Workspace, index: pa.Table, needed: list[_Needed], config: Config) -> Part:
    if missing := len(index) - sum(len(found.rows) for found in needed):
        raise MissingStageError(f"{missing} of {len(index)} images are not measured. Run `recolor measure` first.")
    inputs = {
        "index": require_record(workspace.manifest("index"), "index").content,
        "parts": fingerprint(sorted(found.part.content for found in needed)),
    }
    sources = {"index": workspace.manifest("index")}
    target = workspace.manifest("measurements")
    return Part(workspace, STAGE, MEASURE_VERSION, config.measure, inputs, (target,), sources)


def _part(workspace: Workspace, identities: pa.Table, config: MeasureConfig) -> Part:
    """Returns the part for these images. Its file is named by its key, so parts never collide."""
    inputs = {"images": fingerprint([list(row) for row in zip(*identities.to_pydict().values())])}
    unnamed = Part(workspace, STAGE, MEASURE_VERSION, config, inputs, ())
    path = workspace.measured_parts / f"{unnamed.key[:16]}.parquet"
    return Part(workspace, STAGE, MEASURE_VERSION, config, inputs, (path,))


def _measure(images: Path, identities: pa.Table, config: MeasureConfig, target: Path) -> dict[str, int]:
    numbers = measure_apart(images, identities, config)
    columns = [(identities if name in _IDENTITY else numbers)[name] for name in MEASUREMENTS.arrow.names]
    write_manifest(MEASUREMENTS, pa.table(columns, schema=MEASUREMENTS.arrow), target)
    return {"images": len(numbers), "not_decoded": len(numbers) - numbers["reason"].null_count}


def _finished_parts(workspace: Workspace, config: MeasureConfig) -> Iterator[_Finished]:
    """Yields the undamaged parts on disk that this version made with these settings."""
    for path in sorted(workspace.measured_parts.glob("*.parquet")):
        try:
            rows = read_table(MEASUREMENTS, path, [*_IDENTITY, "reason"])
        except (SchemaError, pa.ArrowInvalid, KeyError) as error:
            _log.warning("%s: not a readable part; its images are measured again (%s).", path, error)
            continue
        part = _part(workspace, rows.select(_IDENTITY), config)
        record = current_record(part)
        if part.outputs[0] == path and record is not None:
            yield _Finished(path, record.content, record.outputs[0].mtime_ns, rows)


def _readable_again(images: Path, found: _Needed) -> NDArray[np.bool_]:
    """Returns which rows have the reason `unreadable` although their file can now be opened.

    Returns:
        bool [rows].
    """
    rows = found.part.rows.take(pa.array(found.rows))
    pairs = zip(rows["path"].to_pylist(), rows["reason"].to_pylist(), strict=True)
    return np.array([reason == "unreadable" and _opens(images / decode_path(path)) for path, reason in pairs])


def _opens(file: Path) -> bool:
    try:
        os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except (OSError, ValueError):
        return False
    return True


def _needed_rows(index: pa.Table, finished: list[_Finished]) -> list[_Needed]:
    """Returns the needed rows of each part that has any.

    Each row of the index is in at most one part. An image in several parts is taken from the newest part that could
    read it, or else from the newest.
    """
    if not finished:
        return []
    finished = sorted(finished, key=lambda part: part.mtime_ns, reverse=True)
    stored = pa.concat_tables([part.rows for part in finished])
    at = _find(index, stored)
    order = np.argsort([reason == "unreadable" for reason in stored["reason"].to_pylist()], kind="stable")
    chosen = np.zeros(len(at), bool)
    chosen[order[np.unique(at[order], return_index=True)[1]]] = True
    chosen &= at >= 0
    ends = np.cumsum([len(part.rows) for part in finished])
    needed = []
    for part, end in zip(finished, ends.tolist()):
        start = end - len(part.rows)
        rows = np.flatnonzero(chosen[start:end])
        if rows.size:
            needed.append(_Needed(part, rows, at[start + rows]))
    return needed


def _find(index: pa.Table, stored: pa.Table) -> NDArray[np.int64]:
    """Returns, for each stored row, the row of the index with the same identity, or -1.

    Returns:
        int64 [stored rows].
    """
    at = find_rows(stored["path"], index).to_numpy(zero_copy_only=False)
    at = np.where(np.isnan(at), -1, at).astype(np.int64)
    same = at >= 0
    for name in ("size_bytes", "mtime_ns"):
        same &= index[name].to_numpy()[at] == stored[name].to_numpy()
    return np.where(same, at, -1)


def _merge(needed: list[_Needed], images: int, target: Path) -> dict[str, int]:
    """Writes the rows in the order of the index, a row group at a time, which bounds the memory."""
    not_decoded = 0
    with manifest_writer(MEASUREMENTS, target) as write:
        for start in range(0, images, ROW_GROUP_ROWS):
            some = _rows_from(needed, start, min(start + ROW_GROUP_ROWS, images))
            not_decoded += len(some) - some["reason"].null_count
            write(some)
    return {"images": images, "not_decoded": not_decoded}


def _rows_from(needed: list[_Needed], start: int, end: int) -> pa.Table:
    """Returns the measurements of the index's rows `start` to `end`.

    The result is a table of `schemas.MEASUREMENTS`.
    """
    tables, places = [], []
    for found in needed:
        within = (start <= found.index_rows) & (found.index_rows < end)
        if within.any():
            tables.append(read_table(MEASUREMENTS, found.part.path).take(pa.array(found.rows[within])))
            places.append(found.index_rows[within])
    return pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(places)))).combine_chunks()


def _delete_parts(workspace: Workspace, unused: set[Path]) -> None:
    """Deletes parts that are unused, damaged or of another version."""
    for path in workspace.measured_parts.glob("*.parquet"):
        record = read_record(record_path(path))
        intact = record is not None and record.version == MEASURE_VERSION and outputs_present(workspace, record)
        if path in unused or not intact:
            path.unlink(missing_ok=True)
            record_path(path).unlink(missing_ok=True)
