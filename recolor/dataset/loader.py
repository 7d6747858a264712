"""Batches for training: a plain `DataLoader` for any network, and the prefetching loader of Recolor's trainings.

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

SLOTS = 4  # one is the consumer's while three are filled
THREADS = 2  # one core copies at about half of what the memory of a machine gives
_UPLOAD_IMAGES = 128

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Slot:
    """Host memory of a batch's stored images.

    Attributes:
        codes: [N, 3, S, S], as the shards hold them; pinned where the device is CUDA.
        copied: On CUDA, when the newest copy out of it has finished.
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
    units. Every pass has another order. The orders depend on `seed` alone: not on the number of workers, and not on
    PyTorch's global random state.

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
    """The augmented batches of the steps from `start_step` to the end of the training.

    Order and augmentation are drawn for the batch of all processes, of which each takes its share; so all shares
    together are the batch of one process. A batch may be kept as long as one likes. Closing the generator, or
    dropping it, ends its threads.

    Args:
        dataset: The split to train on.
        train: Batch size (of all processes together), seed, steps, augmentation, and whether the split is resident.
        start_step: The first step; earlier ones were done before a resume.
        device: Where the batches go.
        share: This process's.

    Raises:
        ConfigError: At once: `train.resident` is "on" and that cannot be, or the shares would not be equal.
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
    """Whether the whole split is to be kept in device memory.

    Args:
        dataset: The split.
        resident: "auto": on a CUDA device, if it takes at most half of what is free there; the other half is the
            training's. "on": if it takes no more than all that is free. "off": never.
        device: Where the training runs. A CPU has the split in memory already, as far as it has room: the
            shards are memory-mapped, and the system keeps what was read.

    Raises:
        ConfigError: "on", and it does not fit or the device is not CUDA.
    """
    if resident == "off" or (resident == "auto" and device.type != "cuda"):
        return False
    if device.type != "cuda":
        raise ConfigError(
            f"resident = 'on': it is about the memory of a CUDA device, and this training runs on {device.type!r}."
            " Allowed here: 'auto', 'off'."
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
    """The stored images of each step's rows, out of a copy of the whole split on the device.

    Yields:
        [N, 3, S, S], as the shards hold them: new memory of the device.
    """
    _log.info("%s bytes of shards are kept in the memory of %s", f"{dataset.size_bytes:,}", device)
    resident = _upload(dataset, device)
    for step in steps:
        yield resident[to_device(rows_of(step), device)]


def streamed_codes(
    dataset: ShardDataset, rows_of: RowsOfStep, steps: Iterable[int], images: int, device: torch.device
) -> Generator[Tensor, None, None]:
    """The stored images of each step's rows, gathered ahead by threads.

    Args:
        dataset: The split.
        rows_of: The rows of a step, at most `images`; called in the threads.
        steps: The steps.
        images: How many images a slot has room for.
        device: Where they go.

    Yields:
        [N, 3, S, S], as the shards hold them. On CUDA, new memory of the device. On a CPU, a slot: it is valid until
        the next one is asked for, and then filled again.
    """
    stream = _stream(device) if device.type == "cuda" else None

    def fill(step: int, slot: Slot) -> Slot:
        return fill_slot(dataset, rows_of(step), slot)

    with closing(prefetched(fill, _slots(dataset, images, device), steps)) as filled:
        for slot in filled:
            yield slot.codes if stream is None else _copied(slot, device, stream)


def prefetched(fill: Callable[[int, S], T], slots: Sequence[S], steps: Iterable[int]) -> Generator[T, None, None]:
    """Calls `fill` for each step, with the slots in turn, in `THREADS` threads, ahead of what is asked for.

    Results are yielded in the order of the steps. Only once the next one is asked for is a result's slot filled again:
    until then it is the consumer's. What `fill` raises is raised to the consumer, at its step. The threads end when
    the consumer closes or drops the generator, or it ends.
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
    """Gathers rows into a slot, once the copy out of it has finished.

    Returns:
        As much of the slot as there are rows.
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
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch ships these two without types


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


def _copied(slot: Slot, device: torch.device, stream: torch.cuda.Stream) -> Tensor:
    """Copies a slot to the device beside what is computed there; who uses the copy waits for it on the device."""
    assert slot.copied is not None  # as for every slot of a CUDA device
    with torch.cuda.stream(stream):
        codes = slot.codes.to(device, non_blocking=True)
        slot.copied.record(stream)
    computing = torch.cuda.current_stream(device)
    computing.wait_stream(stream)
    codes.record_stream(computing)  # made on the other stream: its memory is free only when this one is done with it
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
