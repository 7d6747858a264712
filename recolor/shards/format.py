"""The format of Lab shards: kept images as tensors in plain `.npy` files.

This module reads and verifies them. A shard is one array [N, 3, S, S] of uint8 codes (the code book of
`recolor.color.lab`) or float16 Lab, C-contiguous and little-endian. `index.parquet` gives the shard and row of each
image. A record beside each file has its SHA-256. `data/README.md` describes the format. `recolor.shards.writer` writes
it; reading needs no image decoder.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recolor.errors import DamagedError, InputError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import SHARD_INDEX
from recolor.pipeline.cache import RECORD_SUFFIX, Record, read_record, record_path, require_record, verify
from recolor.pipeline.progress import track
from recolor.pipeline.workspace import Workspace

STAGE = "shard"
VERSION = 4  # of format and content: raised when the same images would give other bytes

_log = logging.getLogger(__name__)

Codes = npt.NDArray[np.uint8] | npt.NDArray[np.float16]


def read_shard(path: Path) -> Codes:
    """Opens a shard, memory-mapped: its bytes are read from disk when they are used.

    Returns:
        uint8 codes or float16 Lab [N, 3, S, S], read-only.

    Raises:
        DamagedError: The shard is missing or truncated, or its size differs from its record.
        InputError: This version of Recolor does not know its format version.
    """
    record = read_record(record_path(path))
    if record is None or not path.is_file():
        raise DamagedError(f"{path}: this shard or its record is missing. Run `recolor shards build` to rebuild it.")
    if record.version != VERSION:
        raise InputError(
            f"{path}: format version {record.version}, but this Recolor reads version {VERSION}. Run"
            " `recolor shards build` again."
        )
    try:
        array = np.load(path, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise DamagedError(
            f"{path}: not a complete .npy file ({error}). Run `recolor shards build` to rebuild it."
        ) from error
    _check_array(path, array, record)
    codes: Codes = np.asarray(array)  # a plain view of the mapped file: indexing a memmap is several times slower
    return codes


def verify_shards(workspace: Workspace) -> None:
    """Reads every byte of the index and of its shards, and compares them with their records.

    Raises:
        MissingStageError: The index has not been written.
        DamagedError: Files are missing, truncated, changed or have another number of images; the message names each.
    """
    index = index_path(workspace)
    verify(workspace, read_record(record_path(index)) or require_record(index, "shards build"))
    failures = []
    shards = shard_images(read_index(workspace)).items()
    for name, images in track(shards, "verify", len(shards), "shards"):
        try:
            _verify_shard(workspace, workspace.shards / name, images)
        except DamagedError as error:
            failures.append(str(error))
    if failures:
        raise DamagedError("\n".join([*failures, "`recolor shards repair` rebuilds only these files."]))


def drop_damaged(workspace: Workspace) -> tuple[str, ...]:
    """Reads every byte of shards and index; deletes files that do not match their records.

    The stage then rebuilds only these. Without this, a byte that flipped on the disk would go unnoticed: the stage
    itself checks only sizes and modification times.

    Returns:
        The names of the damaged or missing files, sorted.
    """
    records = sorted(workspace.shards.glob(f"*{RECORD_SUFFIX}"))
    dropped = []
    for path in track(records, "verify", len(records), "files"):
        output = path.with_name(path.name.removesuffix(RECORD_SUFFIX))
        record = read_record(path)
        try:
            if record is not None:
                verify(workspace, record)
                continue
        except DamagedError as damage:
            _log.info("%s", damage)
        path.unlink(missing_ok=True)
        output.unlink(missing_ok=True)
        dropped.append(output.name)
    return tuple(dropped)


def index_path(workspace: Workspace) -> Path:
    """Returns the path of the index, `data/shards/index.parquet`."""
    return workspace.shards / "index.parquet"


def read_index(workspace: Workspace) -> pa.Table:
    """Returns the index, sorted by shard and row.

    Raises:
        MissingStageError: The index has not been written.
        SchemaError: The file does not match the schema.
    """
    return read_table(SHARD_INDEX, index_path(workspace))


def shard_images(index: pa.Table) -> dict[str, int]:
    """Returns the number of images of each shard, by file name, according to the index."""
    counts = index["shard"].value_counts()
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist()))


def _check_array(path: Path, array: npt.NDArray[Any], record: Record) -> None:
    shape_ok = array.ndim == 4 and array.shape[1] == 3 and array.shape[2] == array.shape[3]
    if not shape_ok or array.dtype not in (np.uint8, np.dtype("<f2")) or not array.flags.c_contiguous:
        raise DamagedError(
            f"{path}: {array.dtype} {array.shape} is not a Lab shard. Run `recolor shards build` to rebuild it."
        )
    if array.shape[0] != record.counts.get("images") or path.stat().st_size != record.outputs[0].size_bytes:
        raise DamagedError(
            f"{path}: {array.shape[0]} images in {path.stat().st_size} bytes, but its record says"
            f" {record.counts.get('images')} in {record.outputs[0].size_bytes}. Run `recolor shards build` to"
            " rebuild it."
        )


def _verify_shard(workspace: Workspace, path: Path, images: int) -> None:
    stored = read_shard(path).shape[0]
    if stored != images:
        raise DamagedError(
            f"{path}: {stored} images, but the index says {images}. Run `recolor shards build` to rebuild it."
        )
    record = read_record(record_path(path))
    assert record is not None  # read_shard has just read it
    verify(workspace, record)
