"""Writing Lab shards: which image goes where, and only the shards that are missing.

An image goes to a bucket by the first bits of its content hash, and a bucket is a shard. The number of buckets is the
power of two at which a bucket has more than half of `max_shard_images` images and at most all of them on average. So
where an image goes depends on nothing but its content: adding or removing k images rewrites at most k shards, except
when the set outgrows its number of buckets and every bucket is split in two (or joined), which rewrites all of them.
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

PROCESSES_FROM_IMAGES = 2000  # they are a tenth faster than threads on two cores
_SHARDS_AT_ONCE = 2  # one is hashed and flushed while the next is decoded
_IMAGES_AT_A_TIME = 8  # of one thread


@dataclass(frozen=True, slots=True)
class ShardPart:
    """Shards to write together, mostly one: the numbers of their buckets, of how many there are, and their images."""

    buckets: tuple[int, ...]
    of: int
    images: int

    def __str__(self) -> str:
        first, last = self.buckets[0] + 1, self.buckets[-1] + 1
        which = f"bucket {first}" if first == last else f"buckets {first} to {last}"
        return f"{self.images} images, {which} of {self.of}"


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What there is to do: the shards to write, in parts, how many are there already, and the images of both."""

    missing: tuple[ShardPart, ...]
    reused: int
    images: int


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the bytes of a shard depend on, beside the images: its settings and how images are brought to size."""

    config: ShardConfig
    resizing: str = "DCT scaling, centre square, INTER_AREA down, INTER_CUBIC up"


@dataclass(frozen=True, slots=True)
class _Kept:
    """The kept images, by sha256, then path, and where in them the buckets begin and end: int64 [buckets + 1]."""

    images: pa.Table
    edges: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard as it should be: its number and its images, by sha256, then path; columns as of `_kept_images`."""

    bucket: int
    images: pa.Table


def plan_shards(workspace: Workspace, config: Config) -> ShardPlan:
    """Lists the shards that `manifests/clean.parquet` asks for and that are not there.

    Raises:
        MissingStageError: Cleaning has not been done.
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
    """While it is open, images are decoded in worker processes, if there are enough to be worth starting them.

    Args:
        plan: What is going to be written.
        config: Its `execution` says how many workers decode.

    Yields:
        How many shards to write at once: at most two, since each of them is decoded by all workers.
    """
    with decoding(sum(part.images for part in plan.missing), config.execution, PROCESSES_FROM_IMAGES):
        yield replace(config.execution, workers=min(_SHARDS_AT_ONCE, worker_count(config.execution)))


def write_shards(workspace: Workspace, images: Path, part: ShardPart, config: Config) -> Outcome:
    """Decodes the images of each shard and writes it, some images at a time: memory does not grow with the shard.

    Each is finished by itself, and one that fails does not stop the others.

    Args:
        workspace: Where `manifests/clean.parquet` is and the shards go.
        images: The image folder.
        part: Which shards, from `plan_shards`.
        config: Settings; its `execution` says how many threads decode.

    Raises:
        InputError: An image is not what cleaning saw, or its decoder crashes; names it.
        OutOfMemoryError: There is not enough memory for an image by itself; names it.
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
    """Writes `data/shards/index.parquet`, then deletes the shards that it no longer names.

    Returns:
        Counts `images`, `shards`, and the images of each split: `train`, `val`, `test`.

    Raises:
        MissingStageError: A shard is missing.
    """
    shards = _shards(_kept_images(workspace, config))
    parts = [_stage_part(workspace, shard, config.shard) for shard in shards]
    inputs = {part.outputs[0].name: _require_current(part).content for part in parts}
    inputs["clean"] = require_record(workspace.manifest("clean"), "clean").content
    sources = {"clean": workspace.manifest("clean")}
    index = Part(workspace, STAGE, VERSION, config.shard, inputs, (index_path(workspace),), sources)
    names = [part.outputs[0].name for part in parts]
    outcome = run_part(index, partial(_build_index, shards=shards, names=names))
    with storage_errors(workspace.shards):
        _delete_unnamed(workspace.shards, set(names))
    return outcome


def bucket_count(images: int, max_shard_images: int) -> int:
    """The least power of two at which a bucket has at most `max_shard_images` images on average."""
    buckets = 1
    while images > buckets * max_shard_images:
        buckets *= 2
    return buckets


def _kept_images(workspace: Workspace, config: Config) -> _Kept:
    """The kept images in their buckets, with the size and time of the files that were measured."""
    clean = workspace.manifest("clean")
    measurements = workspace.manifest("measurements")
    measured = read_record(record_path(measurements))
    intact = measured if measured and outputs_present(workspace, measured) else None
    content = require_record(clean, "clean").content
    return _joined(clean, content, measurements, intact and intact.content, config.shard.max_shard_images)


@lru_cache(maxsize=1)  # every part asks
def _joined(
    clean: Path, _clean_content: str, measurements: Path, measured_content: str | None, max_shard_images: int
) -> _Kept:
    """A pure function of the contents: the paths say where they are.

    Columns `size_bytes` and `mtime_ns` are null where no measurement of that content is at hand.
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
    """Where each bucket begins among these, which ascend, and the last one ends: the first bits are its number."""
    digits = "".join(pc.utf8_slice_codeunits(sha256, 0, 8).to_pylist())
    numbers = np.frombuffer(bytes.fromhex(digits), ">u4").astype(np.uint64) * np.uint64(buckets) >> np.uint64(32)
    return np.searchsorted(numbers, np.arange(buckets + 1, dtype=np.uint64)).astype(np.int64)


def _shards(kept: _Kept) -> list[_Shard]:
    """The shards in the order of their buckets; a bucket without images is none."""
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
    """Writes the header, then rows at their places; a full disk is an error here, and a crash in a memory map."""
    dtype = np.dtype("<f2" if config.shard.dtype == "float16" else "|u1")
    shape = (rows.num_rows, 3, config.shard.size_px, config.shard.size_px)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()

    def write(first: int, count: int = _IMAGES_AT_A_TIME) -> None:
        some = [MeasuredFile(**row) for row in rows.select(MEASURED_FILE).slice(first, count).to_pylist()]
        offset = start + first * math.prod(shape[1:]) * dtype.itemsize
        try:
            in_process(write_rows, path, offset, images, some, config)
        except (ProcessDiedError, MemoryError) as error:
            if len(some) == 1:
                raise _not_written(images / some[0].path, error) from error
        else:
            return
        for one in range(first, first + len(some)):  # each by itself: it takes less memory, and says which it is
            write(one, 1)

    with ThreadPoolExecutor(worker_count(config.execution), thread_name_prefix="shard") as pool:
        list(pool.map(write, range(0, rows.num_rows, _IMAGES_AT_A_TIME)))  # the first error ends it
    return {"images": rows.num_rows}


def _not_written(file: Path, error: ProcessDiedError | MemoryError) -> OutOfMemoryError | InputError:
    if isinstance(error, MemoryError) or error.killed:
        return OutOfMemoryError(
            f"{file}: there was not enough memory for it, or its process was killed. Free some memory, or lower"
            " execution.workers, and run again."
        )
    return InputError(f"{file}: {error}, of a defect of the decoder. Reject it in manifests/decisions.csv, and clean.")


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
        raise MissingStageError(f"{part.outputs[0]}: not there yet, or not finished. Run `recolor shards build` first.")
    return record


def _delete_unnamed(folder: Path, keep: set[str]) -> None:
    for path in folder.glob("shard-*.npy*"):
        if path.name.removesuffix(RECORD_SUFFIX) not in keep:
            path.unlink(missing_ok=True)
