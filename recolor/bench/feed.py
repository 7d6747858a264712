"""Training data of a benchmark: the shards of the workspace, or shards of random codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from recolor.dataset.dataset import ShardDataset
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import SHARD_INDEX
from recolor.pipeline.cache import Counts, Part, run_part
from recolor.pipeline.workspace import Workspace, open_workspace
from recolor.shards.format import STAGE, VERSION, index_path

_SHARD = "random.npy"


@contextmanager
def training_set(workspace: Workspace, *, size_px: int, images: int) -> Iterator[tuple[ShardDataset, str]]:
    """Opens the workspace's train split, or temporary random codes if there are no shards.

    Random codes take the same time.

    Args:
        workspace: The workspace; nothing is written to it.
        size_px: Side of the random images.
        images: Number of random images.

    Yields:
        The dataset and its description.

    Raises:
        DamagedError: A shard of the workspace is missing or truncated.
        InputError: Its train split is empty.
    """
    if index_path(workspace).is_file():
        yield ShardDataset.open(workspace, "train"), f"the shards in {workspace.shards}"
        return
    with TemporaryDirectory(prefix="recolor-bench-") as folder:
        random = open_workspace(Path(folder))
        write_random_shards(random, size_px=size_px, images=images)
        yield ShardDataset.open(random, "train"), f"{images:,} squares of {size_px} px with random codes"


def write_random_shards(workspace: Workspace, *, size_px: int, images: int) -> None:
    """Writes a shard of uniformly random uint8 codes and its index; all images are in train."""
    codes = np.random.default_rng(0).integers(0, 256, (images, 3, size_px, size_px), np.uint8)

    def write_shard(staging: Path) -> Counts:
        np.save(staging / _SHARD, codes)
        return {"images": images}

    def write_index(staging: Path) -> Counts:
        write_manifest(SHARD_INDEX, _index(size_px, images), staging / index_path(workspace).name)
        return {"images": images, "train": images, "val": 0, "test": 0}

    for path, write in ((workspace.shards / _SHARD, write_shard), (index_path(workspace), write_index)):
        run_part(Part(workspace, STAGE, VERSION, None, {}, (path,)), write)


def _index(size_px: int, images: int) -> pa.Table:
    columns = {
        "path": [f"{row}" for row in range(images)],
        "sha256": [f"{row:064x}" for row in range(images)],
        "shard": [_SHARD] * images,
        "row": range(images),
        "split": ["train"] * images,
        "width_px": [size_px] * images,
        "height_px": [size_px] * images,
    }
    return pa.table(columns).cast(SHARD_INDEX.arrow)
