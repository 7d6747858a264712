"""Loaders: a `DataLoader` for any network, and the prefetching loader of Recolor's training.

`batches` has each step's batch on the device when the step asks for it. On a CUDA device it keeps the whole split in
device memory if it fits. Otherwise threads gather the next batches into a ring of slots: host memory that is reused,
pinned on CUDA, where a slot is copied on its own stream while the device computes. The batches are the same in each
case, and with any number of slots and threads.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle
from os import PathLike
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from recolor.config.settings import Split, TrainConfig
from recolor.dataset.augment import Batch, make_batch, to_device
from recolor.dataset.dataset import LabImage, ShardDataset
from recolor.dataset.sampler import WHOLE, Int64Array, Share, batch_rows
from recolor.errors import ConfigError

S = TypeVar("S")
T = TypeVar("T")
RowsOfStep = Callable[[int], Int64Array]

SLOTS = 4  # the consumer uses one while three are filled
THREADS = 2  # one core copies at about half of the memory bandwidth
_UPLOAD_IMAGES = 128

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Slot:
    """Host memory of a batch's stored images.

    Attributes:
        codes: Stored images [N, 3, S, S], in the dtype of the shards; pinned if the device is CUDA.
        copied: On CUDA, the event at which the last copy out of this slot has finished.
    """

    codes: Tensor
    copied: torch.cuda.Event | None


def make_loader(
    dataset: ShardDataset | str | PathLike[str],
    *,
    split: Split = "train",
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    num_workers: int = 0,
    drop_last: bool = False,
) -> DataLoader[LabImage]:
    """Returns a `DataLoader` over the images of a split, for any PyTorch training.

    Each batch is a `LabImage` that unpacks to `(L, ab)`: float32 [N, 1, S, S], 0..100, and float32 [N, 2, S, S] in Lab
    units. Each epoch has a different order. The orders depend only on `seed`, not on the number of workers or PyTorch's
    global random state.

    Args:
        dataset: A dataset, or the folder `data/shards` of a workspace.
        split: The split to open if `dataset` is a folder.
        batch_size: Images in a batch.
        shuffle: Whether the order is random; otherwise it is that of the index.
        seed: Seed of the random order.
        num_workers: Processes that decode; 0 decodes in this process.
        drop_last: Whether a last batch of fewer images is left out.

    Raises:
        RecolorError: What `ShardDataset` raises if the folder cannot be opened.
        ConfigError: `batch_size` is below 1.

    Examples:
        >>> from recolor import make_loader
        >>> for L, ab in make_loader("project/data/shards", batch_size=16):
        ...     loss = (network(L) - ab).abs().mean()
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size = {batch_size}: not allowed. Allowed: 1 and above.")
    return DataLoader(
        dataset if isinstance(dataset, ShardDataset) else ShardDataset(dataset, split),
        batch_size=batch_size,
        shuffle=shuffle,
        generator=torch.Generator().manual_seed(seed),
        num_workers=num_workers,
        drop_last=drop_last,
    )


def batches(
    dataset: ShardDataset, train: TrainConfig, start_step: int, device: torch.device, share: Share = WHOLE
) -> Generator[Batch, None, None]:
    """Yields the augmented batches of the steps from `start_step` to the end of the training.

    Order and augmentation are drawn for the batch of all processes, and each process takes its share. All shares
    together are therefore the batch of a single process. Batches stay valid while later ones are requested. Closing or
    deleting the generator ends its threads.

    Args:
        dataset: The split to train on.
        train: Batch size (of all processes together), seed, steps, augmentation, and whether the split is resident.
        start_step: The first step; a resumed training has already done the earlier ones.
        device: Device of the batches.
        share: Share of this process.

    Raises:
        ConfigError: `train.resident` is "on" and not possible, or the shares would not be equal. Raised by the call
            itself, not by the first batch.
    """
    images = len(share.positions(train.batch_images))
    steps = range(start_step, train.steps)

    def rows_of(step: int) -> Int64Array:
        return batch_rows(dataset.rows, train.batch_images, train.seed, step, share)

    if is_resident(dataset, train.resident, device):
        codes = resident_codes(dataset, rows_of, steps, device)
    else:
        codes = streamed_codes(dataset, rows_of, steps, images, device)
    return _augmented(codes, train, steps, share)


def is_resident(dataset: ShardDataset, resident: Literal["auto", "on", "off"], device: torch.device) -> bool:
    """Returns whether the whole split is kept in device memory.

    Args:
        dataset: The split.
        resident: "auto": on a CUDA device, if the split takes at most half of the free memory; the rest is for the
            training. "on": if it fits into the free memory. "off": never.
        device: Device of the training. On a CPU the split is not copied: the shards are memory-mapped, and the system
            caches them as far as memory permits.

    Raises:
        ConfigError: `resident` is "on", and the split does not fit or the device is not CUDA.
    """
    if resident == "off" or (resident == "auto" and device.type != "cuda"):
        return False
    if device.type != "cuda":
        raise ConfigError(
            f"resident = 'on': only a CUDA device can keep the split in its memory, but this training runs on"
            f" {device.type!r}. Allowed here: 'auto', 'off'."
        )
    free_bytes, _ = torch.cuda.mem_get_info(device)
    if resident == "on" and dataset.size_bytes > free_bytes:
        raise ConfigError(
            f"resident = 'on': the split takes {dataset.size_bytes:,} bytes, and {free_bytes:,} are free on {device}."
            " Allowed here: 'auto', 'off'; or write shards with a smaller shard.size_px, or free memory of the device."
        )
    return resident == "on" or dataset.size_bytes <= free_bytes // 2


def resident_codes(
    dataset: ShardDataset, rows_of: RowsOfStep, steps: Iterable[int], device: torch.device
) -> Generator[Tensor, None, None]:
    """Yields the stored images of each step's rows from a copy of the split on the device.

    Yields:
        Stored images [N, 3, S, S], in the dtype of the shards, in new memory of the device.
    """
    _log.info("%s bytes of shards are kept in the memory of %s", f"{dataset.size_bytes:,}", device)
    resident = _upload(dataset, device)
    for step in steps:
        yield resident[to_device(rows_of(step), device)]


def streamed_codes(
    dataset: ShardDataset, rows_of: RowsOfStep, steps: Iterable[int], images: int, device: torch.device
) -> Generator[Tensor, None, None]:
    """Yields the stored images of each step's rows, which threads gather ahead of time.

    Args:
        dataset: The split.
        rows_of: Returns the rows of a step, at most `images`; called in the threads.
        steps: The steps.
        images: Number of images that a slot can hold.
        device: Device of the images.

    Yields:
        Stored images [N, 3, S, S], in the dtype of the shards. On CUDA, they are in new memory of the device. On a CPU,
        they are in a slot, which is refilled after the next ones are requested.
    """
    stream = _stream(device) if device.type == "cuda" else None

    def fill(step: int, slot: Slot) -> Slot:
        return fill_slot(dataset, rows_of(step), slot)

    with closing(prefetched(fill, _slots(dataset, images, device), steps)) as filled:
        for slot in filled:
            yield slot.codes if stream is None else _copied(slot, device, stream)


def prefetched(fill: Callable[[int, S], T], slots: Sequence[S], steps: Iterable[int]) -> Generator[T, None, None]:
    """Calls `fill` for each step ahead of time in threads; yields the results in order.

    The steps use the slots in turn. The slot of a result is refilled only after the next result is requested. An
    exception in `fill` is raised to the consumer at its step. The threads end when the generator ends, is closed or is
    deleted.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="prefetch")
    try:
        for step, slot in zip(steps, cycle(slots)):
            waiting.append(pool.submit(fill, step, slot))
            if len(waiting) == len(slots):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def fill_slot(dataset: ShardDataset, rows: Int64Array, slot: Slot) -> Slot:
    """Gathers rows into a slot, after the copy out of it has finished.

    Returns:
        The part of the slot that contains the rows.
    """
    if slot.copied is not None:
        slot.copied.synchronize()
    codes = slot.codes[: len(rows)]
    dataset.codes(rows, out=codes.numpy())
    return replace(slot, codes=codes)


def _slots(dataset: ShardDataset, images: int, device: torch.device) -> list[Slot]:
    rooms = [torch.from_numpy(dataset.empty(images)) for _ in range(SLOTS)]
    if device.type != "cuda":
        return [Slot(codes, None) for codes in rooms]
    return [Slot(codes.pin_memory(), _event()) for codes in rooms]


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # no type hints in torch


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


def _copied(slot: Slot, device: torch.device, stream: torch.cuda.Stream) -> Tensor:
    """Copies a slot to the device on its own stream.

    The computing stream waits for the copy; the host does not.
    """
    assert slot.copied is not None  # every slot of a CUDA device has one
    with torch.cuda.stream(stream):
        codes = slot.codes.to(device, non_blocking=True)
        slot.copied.record(stream)
    computing = torch.cuda.current_stream(device)
    computing.wait_stream(stream)
    codes.record_stream(computing)  # allocated on the copy stream: keeps its memory until the computing stream is done
    return codes


def _augmented(
    codes: Generator[Tensor, None, None], train: TrainConfig, steps: Iterable[int], share: Share
) -> Generator[Batch, None, None]:
    with closing(codes):
        for step, stored in zip(steps, codes):
            yield make_batch(stored, train=train, step=step, augment=True, share=share)


def _upload(dataset: ShardDataset, device: torch.device) -> Tensor:
    first = torch.from_numpy(dataset.empty(1))
    resident = torch.empty((dataset.rows, *first.shape[1:]), dtype=first.dtype, device=device)
    starts = range(0, dataset.rows, _UPLOAD_IMAGES)

    def rows_from(start: int) -> Int64Array:
        return np.arange(start, min(start + _UPLOAD_IMAGES, dataset.rows))

    with closing(streamed_codes(dataset, rows_from, starts, _UPLOAD_IMAGES, device)) as parts:
        for start, part in zip(starts, parts):
            resident[start : start + len(part)] = part
    return resident
