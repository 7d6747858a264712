"""The stored images of a split as a map-style PyTorch dataset."""

import operator
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, get_args

import numpy as np
import torch
from pyarrow import compute
from torch import Tensor
from torch.utils.data import Dataset

from recolor.config.settings import Split
from recolor.dataset.augment import to_lab
from recolor.dataset.sampler import Int64Array
from recolor.errors import ConfigError, DamagedError, InputError
from recolor.paths import expand_user
from recolor.pipeline.cache import Record, is_unchanged, read_record, record_path, require_record
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import Codes, index_path, read_index, read_shard, shard_images


class LabImage(NamedTuple):
    """One stored image, or a batch of them from a `DataLoader`, as float32 tensors.

    Attributes:
        L: Lightness [1, S, S], 0..100; in a batch [N, 1, S, S].
        ab: Colour [2, S, S] in Lab units, about -100..100; in a batch [N, 2, S, S].
    """

    L: Tensor
    ab: Tensor


class ShardDataset(Dataset[LabImage]):
    """Map-style dataset of the images of one split, for `torch.utils.data.DataLoader`.

    `dataset[i]` is a `LabImage`, which unpacks to `(L, ab)`. The shards are memory-mapped: opening them reads only the
    index, and worker processes share the pages. Images are in the order of the index and are not augmented. Their
    side S is the setting `shard.size_px`.

    Args:
        path: The folder `data/shards` of a workspace, as `recolor shards build` writes it.
        split: `train`, `val` or `test`.

    Attributes:
        folder: The folder of the shards, absolute.
        split: The split.
        shards: The shards, memory-mapped.
        shard_of: int64 [images], which of `shards` holds an image.
        row_of: int64 [images], the image's row in that shard.
        names: Path of each image, relative to the image folder.
        files: File name of each of `shards`.
        records: The record of each shard when it was opened, by the shard's path.

    Raises:
        MissingStageError: There are no finished shards in the folder.
        DamagedError: A shard is missing, cut short, or differs from the index in its number of images.
        InputError: The split is empty, the shards' format version is unknown, or the folder is not `data/shards`.
        ConfigError: There is no split of that name.

    Examples:
        >>> from recolor import ShardDataset
        >>> dataset = ShardDataset("project/data/shards", split="train")
        >>> L, ab = dataset[0]
        >>> L.shape, ab.shape
        (torch.Size([1, 256, 256]), torch.Size([2, 256, 256]))
    """

    folder: Path
    split: Split
    shards: tuple[Codes, ...]
    shard_of: Int64Array
    row_of: Int64Array
    names: tuple[str, ...]
    files: tuple[str, ...]
    records: Mapping[Path, Record]

    def __init__(self, path: str | PathLike[str], split: Split = "train") -> None:
        self.folder, self.split = expand_user(path).absolute(), split
        if split not in get_args(Split):
            raise ConfigError(f"split = {split!r}: not allowed. Allowed: 'train', 'val', 'test'.")
        workspace = _workspace(self.folder)
        require_record(index_path(workspace), "shards build")
        index = read_index(workspace)
        counts = shard_images(index)
        rows = index.filter(compute.equal(index["split"], split))
        if rows.num_rows == 0:
            raise InputError(
                f"{index_path(workspace)}: no image is in the split {split!r}. Add images, or give it a larger"
                f" select.{split}_fraction."
            )
        names, shard_of = np.unique(np.array(rows["shard"].to_pylist()), return_inverse=True)
        self.files = tuple(map(str, names))
        self.shards = tuple(_open_shard(workspace, file, counts[file]) for file in self.files)
        self.shard_of = shard_of.astype(np.int64)
        self.row_of = rows["row"].to_numpy().astype(np.int64)
        self.names = tuple(rows["path"].to_pylist())
        paths = [workspace.shards / file for file in self.files]
        self.records = {path: record for path in paths if (record := read_record(record_path(path))) is not None}

    @classmethod
    def open(cls, workspace: Workspace, split: Split) -> "ShardDataset":
        """Opens a split of a workspace's shards; raises what the class itself does."""
        return cls(workspace.shards, split)

    @classmethod
    def from_arrays(
        cls,
        shards: tuple[Codes, ...],
        shard_of: Int64Array,
        row_of: Int64Array,
        names: tuple[str, ...],
        files: tuple[str, ...],
    ) -> "ShardDataset":
        """Returns a dataset of arrays in memory.

        The arguments are the attributes of the same name.
        """
        dataset = cls.__new__(cls)
        dataset.shards, dataset.shard_of, dataset.row_of = shards, shard_of, row_of
        dataset.names, dataset.files, dataset.records = names, files, {}
        return dataset

    def __len__(self) -> int:
        """Returns the number of images."""
        return self.rows

    def __getitem__(self, index: SupportsIndex) -> LabImage:
        """Returns one image as float32 tensors of its own memory, decoded from its shard.

        Args:
            index: -len..len - 1; negative numbers count from the end.

        Raises:
            IndexError: There is no such image.
        """
        row = operator.index(index)
        if not -self.rows <= row < self.rows:
            raise IndexError(f"image {row} of {self.rows}")
        lab = to_lab(torch.from_numpy(self.codes(np.array([row % self.rows]))))[0]
        return LabImage(lab[:1].clone(), lab[1:].clone())

    def __getstate__(self) -> dict[str, Any]:
        """Returns folder and split, for another process to open; the arrays if there is no folder."""
        return {"folder": self.folder, "split": self.split} if self.records else self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Opens the shards again, or takes the arrays."""
        if "shards" in state:
            self.__dict__.update(state)
        else:
            self.__init__(state["folder"], state["split"])  # type: ignore[misc]

    def check_unchanged(self) -> None:
        """Checks that the shards have not changed since they were opened, without reading them.

        Raises:
            DamagedError: A shard has changed; names it.
        """
        for path, record in self.records.items():
            if not is_unchanged(record, path):
                raise DamagedError(
                    f"{path}: changed while it was being read. Results since the last check are"
                    " discarded. Run `recolor shards build` to rebuild it, then the same command again."
                )

    @property
    def rows(self) -> int:
        """Number of images."""
        return len(self.names)

    @property
    def size_bytes(self) -> int:
        """Size of the split's codes in bytes."""
        return self.rows * int(self.shards[0][0].nbytes)

    def codes(self, rows: Int64Array, out: Codes | None = None) -> Codes:
        """Copies images out of the shards as they are stored, at the speed of copying memory.

        Args:
            rows: int64 [N], 0..`rows` - 1, in any order.
            out: Array to copy into, as `empty(N)` makes it; by default new memory.

        Returns:
            uint8 codes [N, 3, S, S], or float16 Lab if the shards are float16: `out`, if it is given.
        """
        gathered = self.empty(len(rows)) if out is None else out
        for to, shard, row in zip(gathered, self.shard_of[rows], self.row_of[rows], strict=True):
            to[...] = self.shards[shard][row]
        return gathered

    def empty(self, images: int) -> Codes:
        """Returns an uninitialised array for the codes of `images` images."""
        first = self.shards[0]
        empty: Codes = np.empty((images, *first.shape[1:]), first.dtype)
        return empty

    def paths(self, rows: Int64Array) -> list[str]:
        """Returns the paths of images, relative to the image folder."""
        return [self.names[row] for row in rows]

    def places(self, rows: Int64Array) -> list[str]:
        """Returns each image's path and place in the shards: `sea.jpg (shard-00000.npy row 3)`."""
        return [f"{self.names[row]} ({self.files[self.shard_of[row]]} row {self.row_of[row]})" for row in rows]


def _workspace(folder: Path) -> Workspace:
    """Returns the workspace that a folder of shards is in: records name their files from there."""
    if folder.parts[-2:] != ("data", "shards"):
        raise InputError(f"{folder}: not a folder of shards. Give the folder data/shards of a workspace.")
    return Workspace(folder.parent.parent)


def _open_shard(workspace: Workspace, name: str, images: int) -> Codes:
    path = workspace.shards / name
    shard = read_shard(path)
    if shard.shape[0] != images:
        raise DamagedError(
            f"{path}: {shard.shape[0]} images, but the index says {images}. Run `recolor shards build` to rebuild it."
        )
    return shard
