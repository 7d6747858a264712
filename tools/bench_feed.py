"""Images per second of feeding, beside what bounds it: `python tools/bench_feed.py`.

Shards of random codes are written to a temporary folder and read once, so that they are in the page cache. Then take
turns, in the same run: one thread that copies the shards' memory in its order into as many slots; the threads with
their ring of slots; the same without threads and into new memory; and what one would write by hand: a data set that
returns one image at a time, under a DataLoader with worker processes. All but the first gather the same random rows.
The fastest turn of each counts; starting the workers does not.
"""

import argparse
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from recolor.dataset.dataset import ShardDataset
from recolor.dataset.loader import SLOTS, streamed_codes
from recolor.dataset.sampler import Int64Array, batch_rows

SIZE_PX = 256


class OneByOne(Dataset[Tensor]):
    """What a training script has as a rule: an image at an index."""

    def __init__(self, dataset: ShardDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return self.dataset.rows

    def __getitem__(self, row: int) -> Tensor:
        shard = self.dataset.shards[self.dataset.shard_of[row]]
        return torch.from_numpy(shard[self.dataset.row_of[row]].copy())


def main() -> None:
    """Writes the shards, measures, deletes them."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=int, default=4096)
    words.add_argument("--shards", type=int, default=8)
    words.add_argument("--batch", type=int, default=128)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--out", type=Path, help="where there is room for the shards; by default the temporary folder")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(dir=given.out) as folder:
        dataset = random_shards(Path(folder), given.images, given.shards)
        measure(dataset, given.images // given.batch, given.batch, given.workers, given.rounds)


def measure(dataset: ShardDataset, steps: int, batch_images: int, workers: int, rounds: int) -> None:
    def rows_of(step: int) -> Int64Array:
        return batch_rows(dataset.rows, batch_images, 0, step)

    def in_order() -> Iterator[object]:
        rooms = cycle([dataset.empty(batch_images) for _ in range(SLOTS)])
        blocks = (shard[i : i + batch_images] for shard in dataset.shards for i in range(0, len(shard), batch_images))
        for block, room in zip(blocks, rooms):
            np.copyto(room[: len(block)], block)
            yield room

    def ring() -> Iterator[object]:
        return streamed_codes(dataset, rows_of, range(steps), batch_images, torch.device("cpu"))

    def gather() -> Iterator[object]:
        return (dataset.codes(rows_of(step)) for step in range(steps))

    loader: Iterable[Tensor] = DataLoader(
        OneByOne(dataset),
        batch_sampler=[rows_of(step).tolist() for step in range(steps)],
        num_workers=workers,
        persistent_workers=True,
    )
    contenders: dict[str, Callable[[], Iterable[object]]] = {
        "memory copied in order": in_order,
        "threads, ring of slots": ring,
        "no threads, new memory": gather,
        f"DataLoader, {workers} workers": lambda: loader,
    }
    turns = [{name: _seconds(make()) for name, make in contenders.items()} for _ in range(rounds)]
    best_s = {name: min(turn[name] for turn in turns) for name in contenders}
    images, ours_s = steps * batch_images, best_s["threads, ring of slots"]
    print(
        f"{images} images of {SIZE_PX} px in batches of {batch_images}, {len(dataset.shards)} shards, best of {rounds}"
    )
    for name, seconds in best_s.items():
        gb = images * dataset.size_bytes / dataset.rows / 1e9
        rate = f"{images / seconds:9,.0f} images/s {gb / seconds:6.2f} GB/s"
        print(f"{name:<26} {rate}   the ring is {seconds / ours_s:5.2f}x")


def random_shards(folder: Path, images: int, shards: int) -> ShardDataset:
    """A data set of random codes in memory-mapped shards, all of it in the page cache."""
    each = images // shards
    size_bytes = each * shards * 3 * SIZE_PX**2
    free_bytes = shutil.disk_usage(folder).free
    if size_bytes * 1.2 > free_bytes:
        raise SystemExit(f"{folder}: {size_bytes:,} bytes are needed and {free_bytes:,} are free. Give another --out.")
    opened = tuple(_random_shard(folder / f"{number}.npy", each, number) for number in range(shards))
    rows = np.arange(each * shards)
    files = tuple(f"{number}.npy" for number in range(shards))
    return ShardDataset.from_arrays(opened, rows // each, rows % each, tuple(str(row) for row in rows), files)


def _random_shard(path: Path, images: int, seed: int) -> np.ndarray:
    np.save(path, np.random.default_rng(seed).integers(0, 256, (images, 3, SIZE_PX, SIZE_PX), np.uint8))
    shard = np.asarray(np.load(path, mmap_mode="r"))
    shard.reshape(-1)[::4096].sum()
    return shard


def _seconds(feed: Iterable[object]) -> float:
    started = time.perf_counter()
    deque(feed, maxlen=0)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
