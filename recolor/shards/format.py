"""Lab shards: kept images as tensors on disk, in plain `.npy` files with an index. Reading and verifying them.

A shard is one array [N, 3, S, S] of uint8 codes (`recolor.color.lab`'s code book) or float16 Lab, C-contiguous and
little-endian; `index.parquet` says which image is which row of which shard; a record beside each file has its
SHA-256. `data/README.md` describes the format. `recolor.shards.writer` writes it; reading needs no image decoder.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from recolor.errors import DamagedError, InputError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import SHARD_INDEX
from recolor.pipeline.cache import RECORD_SUFFIX, Record, read_record, record_path, require_record, verify
from recolor.pipeline.workspace import Workspace

STAGE = "shard"
VERSION = 2  # of the format and of what is in it: raised when the same images would give other bytes

_log = logging.getLogger(__name__)

Codes = npt.NDArray[np.uint8] | npt.NDArray[np.float16]


def read_shard(path: Path) -> Codes:
    """Opens a shard for reading; its bytes are read from disk as they are used.

    Returns:
        uint8 codes or float16 Lab [N, 3, S, S], memory-mapped, read-only.

    Raises:
        DamagedError: It is missing, cut short, or not of the size that its record says.
        InputError: Its format version is unknown to this version of Recolor.
    """
    record = read_record(record_path(path))
    if record is None or not path.is_file():
        raise DamagedError(f"{path}: this shard or its record is missing. Run `recolor shards build` to rebuild it.")
    if record.version != VERSION:
        raise InputError(
            f"{path}: format version {record.version}, and this Recolor reads {VERSION}. Run"
            " `recolor shards build` again."
        )
    try:
        array = np.load(path, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise DamagedError(
            f"{path}: not a whole .npy file ({error}). Run `recolor shards build` to rebuild it."
        ) from error
    _check_array(path, array, record)
    codes: Codes = np.asarray(array)  # a plain view of the mapped file: indexing a memmap costs several times more
    return codes


def verify_shards(workspace: Workspace) -> None:
    """Reads every byte of the index and of the shards it names, and compares them with their records.

    Raises:
        MissingStageError: There is no index yet.
        DamagedError: A file is missing, cut, changed, or of another number of images; names each such file.
    """
    index = index_path(workspace)
    verify(workspace, read_record(record_path(index)) or require_record(index, "shards build"))
    failures = []
    shards = shard_images(read_index(workspace)).items()
    for name, images in tqdm(shards, desc="verify", unit=" shards", disable=None, delay=1):
        try:
            _verify_shard(workspace, workspace.shards / name, images)
        except DamagedError as error:
            failures.append(str(error))
    if failures:
        raise DamagedError("\n".join([*failures, "`recolor shards repair` rebuilds just those."]))


def drop_damaged(workspace: Workspace) -> tuple[str, ...]:
    """Reads every byte of the shards and of the index, and deletes what is not as its record says.

    The stage then rebuilds just those; nothing else tells it of a byte that flipped on the disk.

    Returns:
        The file names of what was damaged or missing, in their order.
    """
    records = sorted(workspace.shards.glob(f"*{RECORD_SUFFIX}"))
    dropped = []
    for path in tqdm(records, desc="verify", unit=" files", disable=None, delay=1):
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
    """Where the index is: `data/shards/index.parquet`."""
    return workspace.shards / "index.parquet"


def read_index(workspace: Workspace) -> pa.Table:
    """The index, in the order of the shards and of their rows.

    Raises:
        MissingStageError: There is none yet.
        SchemaError: It is not such a table.
    """
    return read_table(SHARD_INDEX, index_path(workspace))


def shard_images(index: pa.Table) -> dict[str, int]:
    """How many images the index says each shard has, by its file name."""
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
            f"{path}: {array.shape[0]} images in {path.stat().st_size} bytes, and its record says"
            f" {record.counts.get('images')} in {record.outputs[0].size_bytes}. Run `recolor shards build` to"
            " rebuild it."
        )


def _verify_shard(workspace: Workspace, path: Path, images: int) -> None:
    stored = read_shard(path).shape[0]
    if stored != images:
        raise DamagedError(
            f"{path}: {stored} images, and the index says {images}. Run `recolor shards build` to rebuild it."
        )
    record = read_record(record_path(path))
    assert record is not None  # read_shard has just read it
    verify(workspace, record)
