"""Writing Lab shards: which image goes where, and only the shards that are missing.

An image goes to a bucket by the first bits of its content hash, and a bucket is a shard. The number of buckets is the
power of two at which a bucket has more than half of `max_shard_images` images and at most all of them on average. So
where an image goes depends on nothing but its content: adding or removing k images rewrites at most k shards, except
when the set outgrows its number of buckets and every bucket is split in two (or joined), which rewrites all of them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recolor.config import Config, ShardConfig
from recolor.errors import ImageError, InputError, MissingStageError
from recolor.images import decode, read_bytes
from recolor.lab import encode_lab, rgb_to_lab
from recolor.manifest import read_table, write_manifest
from recolor.schemas import CLEAN, SHARD_INDEX
from recolor.shard_format import STAGE, VERSION, drop_damaged, index_path, read_shard, verify_shards
from recolor.stage import (
    RECORD_SUFFIX,
    Outcome,
    Part,
    Record,
    current_record,
    fingerprint,
    require_record,
    run_part,
    stage_key,
)
from recolor.workspace import Workspace

__all__ = [
    "ShardPart",
    "ShardPlan",
    "drop_damaged",
    "finish_shards",
    "plan_shards",
    "read_shard",
    "verify_shards",
    "write_shard",
]


# DCT scaling stops at twice the stored size, and the area filter does the rest: on photographs of 1024 px the mean
# difference from a full decode is 0.24 ΔE76 then, and 0.36 to 0.77 if DCT scaling goes down to the stored size.
DECODED_SCALE = 2


@dataclass(frozen=True, slots=True)
class ShardPart:
    """One shard to write: bucket number `bucket` of `buckets`, and how many images it has."""

    bucket: int
    buckets: int
    images: int

    def __str__(self) -> str:
        return f"{self.images} images, bucket {self.bucket + 1} of {self.buckets}"


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What there is to do: the shards to write, how many are there already, and the images of both."""

    missing: tuple[ShardPart, ...]
    reused: int
    images: int


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the bytes of a shard depend on, beside the images: its settings and how images are brought to size."""

    config: ShardConfig
    decoded_scale: int = DECODED_SCALE
    resizing: str = "centre square, INTER_AREA down, INTER_CUBIC up"


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard as it should be: its number and its images (columns of `clean.parquet`, by sha256, then path)."""

    bucket: int
    images: pa.Table


def plan_shards(workspace: Workspace, config: Config) -> ShardPlan:
    """Lists the shards that `manifests/clean.parquet` asks for and that are not there.

    Raises:
        MissingStageError: Cleaning has not been done.
        InputError: No image was kept.
    """
    kept = _kept_images(workspace)
    buckets = bucket_count(kept.num_rows, config.shard.max_shard_images)
    shards = list(_shards(kept, buckets))
    missing = tuple(
        ShardPart(shard.bucket, buckets, shard.images.num_rows)
        for shard in shards
        if current_record(_stage_part(workspace, shard, config.shard)) is None
    )
    return ShardPlan(missing, len(shards) - len(missing), kept.num_rows)


def write_shard(workspace: Workspace, images: Path, part: ShardPart, config: Config) -> Outcome:
    """Decodes the images of one shard and writes it, an image at a time: memory does not grow with the shard.

    Args:
        workspace: Where `manifests/clean.parquet` is and the shard goes.
        images: The image folder.
        part: Which shard, from `plan_shards`.
        config: Settings.

    Raises:
        InputError: An image is not what cleaning saw; names it.
        StorageError: The disk is full or failing.
    """
    shard = next(shard for shard in _shards(_kept_images(workspace), part.buckets) if shard.bucket == part.bucket)
    stage_part = _stage_part(workspace, shard, config.shard)
    name = stage_part.outputs[0].name
    return run_part(stage_part, lambda staging: _build_shard(staging / name, shard.images, images, config))


def finish_shards(workspace: Workspace, config: Config) -> Outcome:
    """Writes `data/shards/index.parquet`, then deletes the shards that it no longer names.

    Returns:
        Counts `images`, `shards`, and the images of each split: `train`, `val`, `test`.

    Raises:
        MissingStageError: A shard is missing.
    """
    kept = _kept_images(workspace)
    shards = list(_shards(kept, bucket_count(kept.num_rows, config.shard.max_shard_images)))
    parts = [_stage_part(workspace, shard, config.shard) for shard in shards]
    inputs = {part.outputs[0].name: _require_current(part).content for part in parts}
    inputs["clean"] = require_record(workspace.manifest("clean"), "clean").content
    index = Part(workspace, STAGE, VERSION, config.shard, inputs, (index_path(workspace),))
    names = [part.outputs[0].name for part in parts]
    outcome = run_part(index, partial(_build_index, shards=shards, names=names))
    _delete_unnamed(workspace.shards, set(names))
    return outcome


def bucket_count(images: int, max_shard_images: int) -> int:
    """The least power of two at which a bucket has at most `max_shard_images` images on average."""
    buckets = 1
    while images > buckets * max_shard_images:
        buckets *= 2
    return buckets


def to_lab_square(rgb: npt.NDArray[np.uint8], size_px: int) -> npt.NDArray[np.float32]:
    """Cuts the centre square, brings it to size (area filter down, cubic up) and converts it.

    Args:
        rgb: uint8 [H, W, 3], sRGB.
        size_px: Side S.

    Returns:
        float32 Lab [S, S, 3].
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = rgb[top : top + side, left : left + side]
    if side != size_px:
        filter_kind = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
        square = np.asarray(cv2.resize(square, (size_px, size_px), interpolation=filter_kind), np.uint8)
    return rgb_to_lab(square)


def _kept_images(workspace: Workspace) -> pa.Table:
    clean = workspace.manifest("clean")
    require_record(clean, "clean")
    table = read_table(CLEAN, clean, ["path", "sha256", "split", "width_px", "height_px"])
    if table.num_rows == 0:
        raise InputError(f"{clean}: no image was kept. Look at manifests/outliers.parquet for the reasons.")
    return table.sort_by([("sha256", "ascending"), ("path", "ascending")])


def _shards(kept: pa.Table, buckets: int) -> Iterator[_Shard]:
    """Cuts the images, sorted by content hash, at the buckets' edges: the first bits are the bucket's number."""
    numbers = [int(sha256[:8], 16) * buckets >> 32 for sha256 in kept["sha256"].to_pylist()]
    edges = np.searchsorted(numbers, np.arange(buckets + 1))
    for bucket, (first, last) in enumerate(pairwise(edges.tolist())):
        if last > first:
            yield _Shard(bucket, kept.slice(first, last - first))


def _stage_part(workspace: Workspace, shard: _Shard, config: ShardConfig) -> Part:
    settings = _Contents(config)
    inputs = {"images": fingerprint(shard.images["sha256"].to_pylist())}
    key = stage_key(STAGE, VERSION, settings, inputs)
    path = workspace.shards / f"shard-{shard.bucket:05d}-{key[:8]}.npy"
    return Part(workspace, STAGE, VERSION, settings, inputs, (path,))


def _build_shard(path: Path, rows: pa.Table, images: Path, config: Config) -> dict[str, int]:
    """Writes the header, then row after row: a full disk is an error here, and would be a crash in a memory map."""
    cv2.setNumThreads(1)  # the parallel work is in shards, side by side
    size_px = config.shard.size_px
    dtype = np.dtype("<f2" if config.shard.dtype == "float16" else "|u1")
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (rows.num_rows, 3, size_px, size_px),
    }
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for name, sha256 in zip(rows["path"].to_pylist(), rows["sha256"].to_pylist()):
            lab = to_lab_square(_decode_unchanged(images / name, sha256, config), size_px)
            stored = encode_lab(lab) if dtype == np.uint8 else lab.astype(dtype)
            file.write(stored.transpose(2, 0, 1).tobytes())
    return {"images": rows.num_rows}


def _decode_unchanged(path: Path, sha256: str, config: Config) -> npt.NDArray[np.uint8]:
    try:
        data = read_bytes(path, config.measure)
        changed = hashlib.sha256(data).hexdigest() != sha256
        decoded = None if changed else decode(data, config.measure, min_side_px=DECODED_SCALE * config.shard.size_px)
    except ImageError as error:
        raise InputError(
            f"{path}: could be decoded when it was measured, and now it cannot be ({error}). Run `recolor clean` again."
        ) from error
    if decoded is None:
        raise InputError(f"{path}: this file has changed since it was measured. Run `recolor clean` again.")
    return decoded.rgb


def _build_index(staging: Path, shards: Sequence[_Shard], names: Sequence[str]) -> dict[str, int]:
    tables = [_index_rows(shard.images, name) for shard, name in zip(shards, names)]
    index = pa.concat_tables(tables)
    write_manifest(SHARD_INDEX, index, staging / "index.parquet")
    splits = index["split"].to_pylist()
    return {
        "images": index.num_rows,
        "shards": len(names),
        **{split: splits.count(split) for split in ("train", "val", "test")},
    }


def _index_rows(images: pa.Table, name: str) -> pa.Table:
    columns: dict[str, Any] = {column: images[column] for column in images.column_names}
    columns["shard"] = [name] * images.num_rows
    columns["row"] = np.arange(images.num_rows, dtype=np.int32)
    return pa.table({field.name: columns[field.name] for field in SHARD_INDEX.arrow}).cast(SHARD_INDEX.arrow)


def _require_current(part: Part) -> Record:
    record = current_record(part)
    if record is None:
        raise MissingStageError(f"{part.outputs[0]}: not there yet, or not finished. Run `recolor shard` first.")
    return record


def _delete_unnamed(folder: Path, keep: set[str]) -> None:
    for path in folder.glob("shard-*.npy*"):
        if path.name.removesuffix(RECORD_SUFFIX) not in keep:
            path.unlink(missing_ok=True)
