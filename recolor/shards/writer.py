"""Assigns each kept image to a Lab shard, and writes the shards that are missing.

The first bits of an image's SHA-256 select its bucket, and each bucket is one shard. The number of buckets is the
smallest power of two at which a bucket has at most `max_shard_images` images on average. The shard of an image thus
depends only on its content and on the number of buckets: adding or removing k images rewrites at most k shards, unless
the number of buckets changes. Then every bucket is split in two (or merged with another), and all shards are rewritten.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recolor.config.settings import SPLITS, Config, ExecutionConfig, ShardConfig
from recolor.errors import InputError, MissingStageError, OutOfMemoryError, ProcessDiedError
from recolor.manifests.io import find_rows, read_table, write_manifest
from recolor.manifests.schemas import CLEAN, MEASUREMENTS, SHARD_INDEX
from recolor.pipeline.cache import (
    RECORD_SUFFIX,
    Outcome,
    Part,
    Record,
    current_record,
    fingerprint,
    outputs_present,
    read_record,
    record_path,
    require_record,
    run_part,
    stage_key,
)
from recolor.pipeline.parallel import MAX_PARTS, decoding, raise_together, worker_count
from recolor.pipeline.storage import storage_errors
from recolor.pipeline.workers import in_process
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import STAGE, VERSION, drop_damaged, index_path, read_shard, verify_shards
from recolor.shards.rows import MEASURED_FILE, MeasuredFile, write_rows

__all__ = [
    "ShardPart",
    "ShardPlan",
    "drop_damaged",
    "finish_shards",
    "plan_shards",
    "read_shard",
    "sharding",
    "verify_shards",
    "write_shards",
]

PROCESSES_FROM_IMAGES = 2000  # from here on processes are faster than threads, by a tenth on two cores
_SHARDS_AT_ONCE = 2  # one is hashed and flushed while the next is decoded
_IMAGES_PER_CALL = 8  # of one thread


@dataclass(frozen=True, slots=True)
class ShardPart:
    """Shards to write together; in most data sets, one.

    Attributes:
        buckets: Numbers of their buckets, from 0.
        of: Number of all buckets.
        images: Number of images in these shards.
    """

    buckets: tuple[int, ...]
    of: int
    images: int

    def __str__(self) -> str:
        first, last = self.buckets[0] + 1, self.buckets[-1] + 1
        which = f"bucket {first}" if first == last else f"buckets {first} to {last}"
        return f"{self.images} images, {which} of {self.of}"


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Plan of a run.

    Attributes:
        missing: The shards to write, in parts.
        reused: Number of shards that are up to date.
        images: Number of images in all shards.
    """

    missing: tuple[ShardPart, ...]
    reused: int
    images: int


@dataclass(frozen=True, slots=True)
class _Contents:
    """The part of a shard's key besides its images: settings and method of resizing."""

    config: ShardConfig
    resizing: str = "DCT scaling, centre square, INTER_AREA down, INTER_CUBIC up"


@dataclass(frozen=True, slots=True)
class _Kept:
    """The kept images, sorted by SHA-256, then path, and the limits of the buckets.

    Bucket b has the rows `edges[b]` to `edges[b + 1]`.
    """

    images: pa.Table
    edges: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Shard:
    """The intended content of a shard: its bucket and its images, sorted by SHA-256, then path."""

    bucket: int
    images: pa.Table


def plan_shards(workspace: Workspace, config: Config) -> ShardPlan:
    """Returns the shards of the kept images that are missing or out of date.

    Raises:
        MissingStageError: `manifests/clean.parquet` does not exist.
        InputError: No image was kept.
    """
    kept = _kept_images(workspace, config)
    shards = _shards(kept)
    missing = [shard for shard in shards if current_record(_stage_part(workspace, shard, config.shard)) is None]
    size = math.ceil(len(missing) / MAX_PARTS)
    parts = (missing[start : start + size] for start in range(0, len(missing), max(1, size)))
    return ShardPlan(
        tuple(_part_of(some, len(kept.edges) - 1) for some in parts), len(shards) - len(missing), kept.images.num_rows
    )


def _part_of(shards: list[_Shard], buckets: int) -> ShardPart:
    images = sum(shard.images.num_rows for shard in shards)
    return ShardPart(tuple(shard.bucket for shard in shards), buckets, images)


@contextmanager
def sharding(plan: ShardPlan, config: Config) -> Iterator[ExecutionConfig]:
    """Starts worker processes for decoding while the context is open.

    With few images, none are started.

    Args:
        plan: The shards to write.
        config: `execution` gives the number of workers.

    Yields:
        Settings for the number of shards to write at once: at most two, because all workers decode each shard.
    """
    with decoding(sum(part.images for part in plan.missing), config.execution, PROCESSES_FROM_IMAGES):
        yield replace(config.execution, workers=min(_SHARDS_AT_ONCE, worker_count(config.execution)))


def write_shards(workspace: Workspace, images: Path, part: ShardPart, config: Config) -> Outcome:
    """Decodes the images of each shard of a part, and writes the shards.

    A few images are written at a time, so memory does not grow with the shard. Each shard is finished by itself; one
    that fails does not stop the others.

    Args:
        workspace: Workspace with `manifests/clean.parquet`.
        images: The image folder.
        part: The shards to write, from `plan_shards`.
        config: Settings; `execution` gives the number of threads that decode.

    Raises:
        InputError: An image has changed since cleaning, or crashes its decoder; the message names it.
        OutOfMemoryError: There is not enough memory for a single image; the message names it.
        StorageError: The disk is full or failing.
    """
    kept, outcomes, failures = _kept_images(workspace, config), [], []
    for bucket in part.buckets:
        shard = _shard(kept, bucket)
        try:
            outcomes.append(_write_shard(_stage_part(workspace, shard, config.shard), shard.images, images, config))
        except (InputError, OutOfMemoryError) as error:
            failures.append(error)
    if len(part.buckets) == len(failures) == 1:
        raise failures[0]
    raise_together(failures, len(part.buckets), "shard")
    built, reused = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("built", "reused"))
    return Outcome(STAGE, built, reused, {"images": part.images}, sum(outcome.seconds_s for outcome in outcomes))


def _write_shard(part: Part, rows: pa.Table, images: Path, config: Config) -> Outcome:
    return run_part(part, lambda staging: _build_shard(staging / part.outputs[0].name, rows, images, config))


def finish_shards(workspace: Workspace, config: Config) -> Outcome:
    """Writes `data/shards/index.parquet`, then deletes the shards that are not in it.

    Returns:
        The outcome, with the counts `images`, `shards`, and the images of each split: `train`, `val`, `test`.

    Raises:
        MissingStageError: A shard is missing.
    """
    shards = _shards(_kept_images(workspace, config))
    index = _index_part(workspace, shards, config)
    names = [_stage_part(workspace, shard, config.shard).outputs[0].name for shard in shards]
    outcome = run_part(index, partial(_build_index, shards=shards, names=names))
    with storage_errors(workspace.shards):
        _delete_unnamed(workspace.shards, set(names))
    return outcome


def shard_index_part(workspace: Workspace, config: Config) -> Part:
    """Returns the index of the shards, `data/shards/index.parquet`, as a part of the cache.

    Raises:
        MissingStageError: `manifests/clean.parquet` or a shard is missing.
        InputError: No image was kept.
    """
    return _index_part(workspace, _shards(_kept_images(workspace, config)), config)


def _index_part(workspace: Workspace, shards: Sequence[_Shard], config: Config) -> Part:
    parts = [_stage_part(workspace, shard, config.shard) for shard in shards]
    inputs = {part.outputs[0].name: _require_current(part).content for part in parts}
    inputs["clean"] = require_record(workspace.manifest("clean"), "clean").content
    sources = {"clean": workspace.manifest("clean")}
    return Part(workspace, STAGE, VERSION, config.shard, inputs, (index_path(workspace),), sources)


def bucket_count(images: int, max_shard_images: int) -> int:
    """Returns the number of buckets, a power of two.

    It is the smallest at which a bucket has at most `max_shard_images` images on average.
    """
    buckets = 1
    while images > buckets * max_shard_images:
        buckets *= 2
    return buckets


def _kept_images(workspace: Workspace, config: Config) -> _Kept:
    """Returns the kept images in their buckets, with size and time of the measured files."""
    clean = workspace.manifest("clean")
    measurements = workspace.manifest("measurements")
    measured = read_record(record_path(measurements))
    intact = measured if measured and outputs_present(workspace, measured) else None
    content = require_record(clean, "clean").content
    return _joined(clean, content, measurements, intact and intact.content, config.shard.max_shard_images)


@lru_cache(maxsize=1)  # every part needs it
def _joined(
    clean: Path, _clean_content: str, measurements: Path, measured_content: str | None, max_shard_images: int
) -> _Kept:
    """Joins the kept images with their measurements.

    The result depends only on the files' contents, hence the cache. The columns `size_bytes` and `mtime_ns` are null
    for an image without a measurement of the same content.
    """
    kept = read_table(CLEAN, clean, ["path", "sha256", "split", "width_px", "height_px"])
    if kept.num_rows == 0:
        raise InputError(f"{clean}: no image was kept. Look at manifests/outliers.parquet for the reasons.")
    measured = MEASUREMENTS.arrow.empty_table()
    if measured_content is not None:
        measured = read_table(MEASUREMENTS, measurements, MEASURED_FILE)
    found = measured.take(find_rows(kept["path"], measured))
    same = pc.equal(found["sha256"], kept["sha256"])
    for name in ("size_bytes", "mtime_ns"):
        kept = kept.append_column(name, pc.if_else(same, found[name], None))
    kept = kept.sort_by([("sha256", "ascending"), ("path", "ascending")])
    return _Kept(kept, _edges(kept["sha256"], bucket_count(kept.num_rows, max_shard_images)))


def _edges(sha256: pa.ChunkedArray, buckets: int) -> NDArray[np.int64]:
    """Returns the first row of each bucket and the end of the last, for sorted hashes.

    The first bits of a hash are the number of its bucket.

    Returns:
        int64 [buckets + 1].
    """
    digits = "".join(pc.utf8_slice_codeunits(sha256, 0, 8).to_pylist())
    numbers = np.frombuffer(bytes.fromhex(digits), ">u4").astype(np.uint64) * np.uint64(buckets) >> np.uint64(32)
    return np.searchsorted(numbers, np.arange(buckets + 1, dtype=np.uint64)).astype(np.int64)


def _shards(kept: _Kept) -> list[_Shard]:
    """Returns the shards in the order of their buckets; an empty bucket has no shard."""
    return [_shard(kept, bucket) for bucket in np.flatnonzero(np.diff(kept.edges)).tolist()]


def _shard(kept: _Kept, bucket: int) -> _Shard:
    first, last = kept.edges[bucket : bucket + 2].tolist()
    return _Shard(bucket, kept.images.slice(first, last - first))


def _stage_part(workspace: Workspace, shard: _Shard, config: ShardConfig) -> Part:
    settings = _Contents(config)
    inputs = {"images": fingerprint(shard.images["sha256"].to_pylist())}
    key = stage_key(STAGE, VERSION, settings, inputs)
    path = workspace.shards / f"shard-{shard.bucket:05d}-{key[:8]}.npy"
    return Part(workspace, STAGE, VERSION, settings, inputs, (path,))


def _build_shard(path: Path, rows: pa.Table, images: Path, config: Config) -> dict[str, int]:
    """Writes the header of a shard, then its rows with `pwrite`.

    On a full disk `pwrite` raises an error; a memory map would crash.
    """
    dtype = np.dtype("<f2" if config.shard.dtype == "float16" else "|u1")
    shape = (rows.num_rows, 3, config.shard.size_px, config.shard.size_px)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()

    def write(first: int, count: int = _IMAGES_PER_CALL) -> None:
        some = [MeasuredFile(**row) for row in rows.select(MEASURED_FILE).slice(first, count).to_pylist()]
        offset = start + first * math.prod(shape[1:]) * dtype.itemsize
        try:
            in_process(write_rows, path, offset, images, some, config)
        except (ProcessDiedError, MemoryError) as error:
            if len(some) == 1:
                raise _not_written(images / some[0].path, error) from error
        else:
            return
        for one in range(first, first + len(some)):  # one by one: takes less memory, and finds the image that fails
            write(one, 1)

    with ThreadPoolExecutor(worker_count(config.execution), thread_name_prefix="shard") as pool:
        list(pool.map(write, range(0, rows.num_rows, _IMAGES_PER_CALL)))  # the first error is raised
    return {"images": rows.num_rows}


def _not_written(file: Path, error: ProcessDiedError | MemoryError) -> OutOfMemoryError | InputError:
    if isinstance(error, MemoryError) or error.killed:
        return OutOfMemoryError(
            f"{file}: there was not enough memory to decode it, or its process was killed. Free some memory, or lower"
            " execution.workers, and run again."
        )
    return InputError(
        f"{file}: {error}, because of a defect of the decoder. Reject the file in manifests/decisions.csv, then run"
        " `recolor clean` again."
    )


def _build_index(staging: Path, shards: Sequence[_Shard], names: Sequence[str]) -> dict[str, int]:
    tables = [_index_rows(shard.images, name) for shard, name in zip(shards, names)]
    index = pa.concat_tables(tables)
    write_manifest(SHARD_INDEX, index, staging / "index.parquet")
    splits = index["split"].to_pylist()
    return {
        "images": index.num_rows,
        "shards": len(names),
        **{split: splits.count(split) for split in SPLITS},
    }


def _index_rows(images: pa.Table, name: str) -> pa.Table:
    columns: dict[str, Any] = {column: images[column] for column in images.column_names}
    columns["shard"] = [name] * images.num_rows
    columns["row"] = np.arange(images.num_rows, dtype=np.int32)
    return pa.table({field.name: columns[field.name] for field in SHARD_INDEX.arrow}).cast(SHARD_INDEX.arrow)


def _require_current(part: Part) -> Record:
    record = current_record(part)
    if record is None:
        raise MissingStageError(f"{part.outputs[0]}: missing or not finished. Run `recolor shards build` first.")
    return record


def _delete_unnamed(folder: Path, keep: set[str]) -> None:
    for path in folder.glob("shard-*.npy*"):
        if path.name.removesuffix(RECORD_SUFFIX) not in keep:
            path.unlink(missing_ok=True)
