"""The stored images of a split: which row of which shard each one is, and their codes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pyarrow import compute

from recolor.dataset.sampler import Int64Array
from recolor.errors import DamagedError, InputError
from recolor.pipeline.cache import Record, read_record, record_path, require_record, still_stands
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import Codes, index_path, read_index, read_shard, shard_images

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class ShardDataset:
    """The stored images of one split, in the order of the index.

    Attributes:
        shards: The shards, memory-mapped.
        shard_of: int64 [rows], which of `shards` a row is in.
        row_of: int64 [rows], where in it.
        names: Path of each row's image, relative to the image folder.
        files: File name of each of `shards`.
        records: What each shard was when it was opened, by its path.
    """

    shards: tuple[Codes, ...]
    shard_of: Int64Array
    row_of: Int64Array
    names: tuple[str, ...]
    files: tuple[str, ...]
    records: Mapping[Path, Record] = field(default_factory=dict)

    @classmethod
    def open(cls, workspace: Workspace, split: Split) -> "ShardDataset":
        """Opens the shards that hold a split.

        Raises:
            MissingStageError: There are no finished shards.
            DamagedError: A shard is missing, cut, or does not have as many images as the index says.
            InputError: The split is empty, or a shard's format version is unknown.
        """
        require_record(index_path(workspace), "shard")
        index = read_index(workspace)
        counts = shard_images(index)
        rows = index.filter(compute.equal(index["split"], split))
        if rows.num_rows == 0:
            raise InputError(
                f"{index_path(workspace)}: no image is in the split {split!r}. Add images, or give it a larger"
                f" select.{split}_fraction."
            )
        names, shard_of = np.unique(np.array(rows["shard"].to_pylist()), return_inverse=True)
        files = tuple(map(str, names))
        shards = tuple(_open_shard(workspace, file, counts[file]) for file in files)
        row_of = rows["row"].to_numpy().astype(np.int64)
        paths = tuple(rows["path"].to_pylist())
        places = [workspace.shards / file for file in files]
        records = {place: record for place in places if (record := read_record(record_path(place))) is not None}
        return cls(shards, shard_of.astype(np.int64), row_of, paths, files, records)

    def check_unchanged(self) -> None:
        """Makes sure that the shards are what they were when they were opened; takes no more than a look at each.

        Raises:
            DamagedError: One has been changed since; names it.
        """
        for path, record in self.records.items():
            if not still_stands(record, path):
                raise DamagedError(
                    f"{path}: changed while it was being read. What was computed since it was last looked at is not"
                    " kept. Run `recolor shard` to rebuild it, then the same command again."
                )

    @property
    def rows(self) -> int:
        """How many images there are."""
        return len(self.names)

    @property
    def size_bytes(self) -> int:
        """What the split takes in memory."""
        return self.rows * int(self.shards[0][0].nbytes)

    def codes(self, rows: Int64Array, out: Codes | None = None) -> Codes:
        """Copies rows out of the shards, at the speed of copying memory.

        Args:
            rows: int64 [N], 0..`rows` - 1, in any order.
            out: Where to, as `empty(N)` makes it; by default new memory.

        Returns:
            uint8 codes [N, 3, S, S], or float16 Lab where the shards are float16: `out`, where it is given.
        """
        gathered = self.empty(len(rows)) if out is None else out
        for to, shard, row in zip(gathered, self.shard_of[rows], self.row_of[rows], strict=True):
            to[...] = self.shards[shard][row]
        return gathered

    def empty(self, images: int) -> Codes:
        """Room for the codes of so many images."""
        first = self.shards[0]
        room: Codes = np.empty((images, *first.shape[1:]), first.dtype)
        return room

    def paths(self, rows: Int64Array) -> list[str]:
        """Paths of the images of rows, relative to the image folder."""
        return [self.names[row] for row in rows]

    def places(self, rows: Int64Array) -> list[str]:
        """The images of rows and where they are stored: `sea.jpg (shard-00000.npy row 3)`."""
        return [f"{self.names[row]} ({self.files[self.shard_of[row]]} row {self.row_of[row]})" for row in rows]


def _open_shard(workspace: Workspace, name: str, images: int) -> Codes:
    path = workspace.shards / name
    shard = read_shard(path)
    if shard.shape[0] != images:
        raise DamagedError(
            f"{path}: {shard.shape[0]} images, and the index says {images}. Run `recolor shard` to rebuild it."
        )
    return shard
