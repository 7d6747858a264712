"""Feeding a training: which rows make a step's batch, and how their codes become L and ab on the device.

Order and augmentation are pure functions of (seed, step): they come from Philox, a counter-based generator
(Salmon et al. 2011), keyed by them. So a training that resumes at step k sees what it would have seen.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pyarrow import compute
from torch import Tensor
from torch.nn import functional

from recolor.config import TrainConfig
from recolor.errors import ConfigError, DamagedError, InputError
from recolor.lab_torch import decode_lab, scale_light
from recolor.shard_format import Codes, index_path, read_index, read_shard, shard_images
from recolor.stage import require_record
from recolor.workspace import Workspace

Split = Literal["train", "val", "test"]
Int64Array = npt.NDArray[np.int64]
T = TypeVar("T")

PREFETCHED_BATCHES = 3
_UPLOAD_ROWS = 1024
_ORDER, _AUGMENTATION = 0, 1  # what a random stream is for: part of its key


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch, float32, on the device.

    Attributes:
        L: [N, 1, C, C], 0..100.
        ab: [N, 2, C, C], Lab units.
        ab_small: [N, 2, C/4, C/4]: `ab` averaged over blocks of 4x4.
    """

    L: Tensor
    ab: Tensor
    ab_small: Tensor


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to each image of a batch; arrays of N.

    Attributes:
        top, left: Where the crop begins, as a share 0..1 of the room there is.
        flip: Whether it is mirrored left to right.
        light: Factor of the linear light.
    """

    top: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    flip: npt.NDArray[np.bool_]
    light: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ShardDataset:
    """The stored images of one split, in the order of the index.

    Attributes:
        shards: The shards, memory-mapped.
        shard_of: int64 [rows], which of `shards` a row is in.
        row_of: int64 [rows], where in it.
        names: Path of each row's image, relative to the image folder.
    """

    shards: tuple[Codes, ...]
    shard_of: Int64Array
    row_of: Int64Array
    names: tuple[str, ...]

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
        files, shard_of = np.unique(np.array(rows["shard"].to_pylist()), return_inverse=True)
        shards = tuple(_open_shard(workspace, str(file), counts[str(file)]) for file in files)
        return cls(
            shards, shard_of.astype(np.int64), rows["row"].to_numpy().astype(np.int64), tuple(rows["path"].to_pylist())
        )

    @property
    def rows(self) -> int:
        """How many images there are."""
        return len(self.names)

    @property
    def size_bytes(self) -> int:
        """What the split takes in memory."""
        return self.rows * int(self.shards[0][0].nbytes)

    def codes(self, rows: Int64Array) -> Codes:
        """Copies rows out of the shards.

        Args:
            rows: int64 [N], 0..`rows` - 1, in any order.

        Returns:
            uint8 codes [N, 3, S, S], or float16 Lab where the shards are float16.
        """
        first = self.shards[0]
        gathered = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for to, shard, row in zip(gathered, self.shard_of[rows], self.row_of[rows]):
            to[...] = self.shards[shard][row]
        return gathered

    def paths(self, rows: Int64Array) -> list[str]:
        """Paths of the images of rows, relative to the image folder."""
        return [self.names[row] for row in rows]


def batch_rows(count: int, batch_images: int, seed: int, step: int) -> Int64Array:
    """The rows of a step's batch: a pure function of its arguments.

    Batches follow each other through endless permutations of all rows, one an epoch; a batch may end one epoch and
    begin the next, or hold several where `count` is less than `batch_images`.

    Args:
        count: Rows in all.
        batch_images: Rows a batch.
        seed: The order's seed.
        step: From 0.

    Returns:
        int64 [batch_images], 0..count - 1.

    Raises:
        InputError: `count` is 0.
    """
    if count < 1:
        raise InputError("There is no image to make a batch of.")
    epochs, places = np.divmod(np.arange(step * batch_images, (step + 1) * batch_images), count)
    parts = [_permutation(count, seed, int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
    return np.concatenate(parts)


def draw_augmentation(count: int, train: TrainConfig, step: int) -> Augmentation:
    """Draws what happens to each image of a step's batch: a pure function of (`train.seed`, `step`, position)."""
    drawn = _random(train.seed, _AUGMENTATION, step).random((count, 4))
    flip = (drawn[:, 2] < 0.5) & train.flip
    light = 1.0 + train.exposure * (2.0 * drawn[:, 3] - 1.0)
    return Augmentation(drawn[:, 0], drawn[:, 1], flip, light.astype(np.float32))


def make_batch(codes: Tensor, *, train: TrainConfig, step: int, augment: bool) -> Batch:
    """Cuts and converts stored images on the device they are on.

    With `augment`: a random crop, half of the images mirrored, and their exposure varied (L and ab together; colour
    is what is learnt, so hues stay). Without: the centre crop.

    Args:
        codes: uint8 codes or float16 Lab [N, 3, S, S].
        train: `crop_px`, `seed`, `flip` and `exposure` count here.
        step: Of the training; with the seed, fixes what is random.
        augment: Whether anything is random.

    Raises:
        ConfigError: The crop is larger than the stored squares.
    """
    crop_px, room = train.crop_px, codes.shape[-1] - train.crop_px
    if room < 0:
        raise ConfigError(
            f"crop_px = {crop_px}: the shards' squares are {codes.shape[-1]} px. Allowed: up to that, or run"
            " `recolor shard` with a larger shard.size_px."
        )
    if not augment:
        start = room // 2
        return _split_lab(_to_lab(codes[:, :, start : start + crop_px, start : start + crop_px]))
    drawn = draw_augmentation(len(codes), train, step)
    lab = _to_lab(_crop(codes, drawn, crop_px))
    if train.exposure > 0:
        lab = scale_light(lab, torch.from_numpy(drawn.light).to(lab.device))
    return _split_lab(lab)


def batches(dataset: ShardDataset, train: TrainConfig, start_step: int, device: torch.device) -> Iterator[Batch]:
    """The augmented batches of the steps from `start_step` to the end of the training.

    On a CUDA device the whole split is kept in device memory when it takes at most half of what is free there;
    otherwise a thread gathers a few batches ahead. On a CPU the memory-mapped shards are the memory, and a batch is
    gathered when it is asked for. The batches are the same in each case.

    Args:
        dataset: The split to train on.
        train: Batch size, seed, steps and augmentation.
        start_step: The first step; earlier ones were done before a resume.
        device: Where the batches go.
    """
    steps = range(start_step, train.steps)
    with closing(_codes_of_steps(dataset, train, steps, device)) as stored:
        for step, codes in zip(steps, stored):
            yield make_batch(codes.to(device, non_blocking=True), train=train, step=step, augment=True)


def fits_in_memory(dataset: ShardDataset, device: torch.device) -> bool:
    """Whether the split takes at most half of the free memory of a CUDA device; the other half is the training's."""
    if device.type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return dataset.size_bytes <= free_bytes // 2


def prefetched(
    make: Callable[[int], T], steps: Iterable[int], ahead: int = PREFETCHED_BATCHES
) -> Generator[T, None, None]:
    """Calls `make` for each step in one thread, at most `ahead` results before they are asked for.

    What `make` raises is raised to the consumer, at its step. The thread ends when the consumer stops.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        for step in steps:
            waiting.append(pool.submit(make, step))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _codes_of_steps(
    dataset: ShardDataset, train: TrainConfig, steps: range, device: torch.device
) -> Generator[Tensor, None, None]:
    def rows(step: int) -> Int64Array:
        return batch_rows(dataset.rows, train.batch_images, train.seed, step)

    def gather(step: int) -> Tensor:
        codes = torch.from_numpy(dataset.codes(rows(step)))
        return codes.pin_memory() if device.type == "cuda" else codes

    if fits_in_memory(dataset, device):
        resident = _upload(dataset, device)
        yield from (resident[torch.from_numpy(rows(step)).to(device)] for step in steps)
    elif device.type == "cuda":
        yield from prefetched(gather, steps)
    else:
        yield from map(gather, steps)


def _upload(dataset: ShardDataset, device: torch.device) -> Tensor:
    first = torch.from_numpy(dataset.codes(np.zeros(1, np.int64)))
    resident = torch.empty((dataset.rows, *first.shape[1:]), dtype=first.dtype, device=device)
    for start in range(0, dataset.rows, _UPLOAD_ROWS):
        rows = np.arange(start, min(start + _UPLOAD_ROWS, dataset.rows))
        resident[start : start + len(rows)] = torch.from_numpy(dataset.codes(rows)).to(device)
    return resident


def _crop(codes: Tensor, drawn: Augmentation, crop_px: int) -> Tensor:
    """Crops and mirrors in one gather: mirrored images read their columns backwards."""
    choices = codes.shape[-1] - crop_px + 1
    along = np.arange(crop_px)
    rows = np.floor(drawn.top * choices).astype(np.int64)[:, None] + along
    left = np.floor(drawn.left * choices).astype(np.int64)[:, None]
    columns = left + np.where(drawn.flip[:, None], along[::-1], along)
    image = torch.arange(len(codes), device=codes.device).view(-1, 1, 1, 1)
    channel = torch.arange(3, device=codes.device).view(1, 3, 1, 1)
    row = torch.from_numpy(rows).to(codes.device).view(-1, 1, crop_px, 1)
    column = torch.from_numpy(columns).to(codes.device).view(-1, 1, 1, crop_px)
    return codes[image, channel, row, column]


def _to_lab(stored: Tensor) -> Tensor:
    return decode_lab(stored) if stored.dtype == torch.uint8 else stored.float()


def _split_lab(lab: Tensor) -> Batch:
    ab = lab[:, 1:].contiguous()
    return Batch(lab[:, :1].contiguous(), ab, functional.avg_pool2d(ab, 4))


def _random(seed: int, stream: int, number: int) -> np.random.Generator:
    """A generator of its own for each (seed, purpose, epoch or step); seeds count modulo 2^64, so -1 is one too."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed % 2**64, stream, number))))


@lru_cache(maxsize=8)  # a step needs its own epoch's, and at an epoch's end the next one's
def _permutation(count: int, seed: int, epoch: int) -> Int64Array:
    order = _random(seed, _ORDER, epoch).permutation(count)
    order.setflags(write=False)
    return order


def _open_shard(workspace: Workspace, name: str, images: int) -> Codes:
    path = workspace.shards / name
    shard = read_shard(path)
    if shard.shape[0] != images:
        raise DamagedError(
            f"{path}: {shard.shape[0]} images, and the index says {images}. Run `recolor shard` to rebuild it."
        )
    return shard
