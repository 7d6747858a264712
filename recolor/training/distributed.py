"""The processes that train one model together: which of them this one is, and what they tell each other.

A training of one process has no group: its share is the whole, and a sum or a mean is what it is given.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recolor.config.settings import TrainConfig
from recolor.dataset.sampler import WHOLE, Share
from recolor.models.device import resolve_device
from recolor.training.determinism import prepare_cublas

# How long a process waits for the others: rank 0 alone writes, and a model may take minutes to compile.
_TIMEOUT = timedelta(minutes=30)


def own_share() -> Share:
    """The part of each batch that is this process's."""
    return Share(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else WHOLE


def is_main_process() -> bool:
    """Returns whether this is rank 0, the only process that writes files and shows a progress bar."""
    return own_share().rank == 0


def own_device(config: TrainConfig) -> torch.device:
    """The device of this process: of several GPUs, the one with its number among this machine's processes.

    Raises:
        ConfigError: It is not there.
    """
    if not dist.is_initialized():
        return resolve_device(config.device, config.devices)
    device = resolve_device(config.device, _of_torchrun("LOCAL_WORLD_SIZE"))
    return torch.device("cuda", _of_torchrun("LOCAL_RANK")) if device.type == "cuda" else device


@contextmanager
def joined(config: TrainConfig, store: Path | None = None) -> Iterator[None]:
    """While it is open, this process is one of the group that torchrun has started.

    Args:
        config: NCCL is used where it resolves to CUDA, else gloo.
        store: A file, not there yet and the same for all, through which they find each other; without one, they do as
            torchrun tells them.

    Raises:
        ConfigError: There is no GPU for this process, or none that can be as deterministic as asked for.
    """
    rank, size = _of_torchrun("RANK"), _of_torchrun("WORLD_SIZE")
    device = resolve_device(config.device, _of_torchrun("LOCAL_WORLD_SIZE"))
    where: dict[str, Any] = {"store": _file_store(store, size)} if store else {"init_method": "env://"}
    if device.type == "cuda":
        prepare_cublas(config, device)
        torch.cuda.set_device(_of_torchrun("LOCAL_RANK"))
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=size, timeout=_TIMEOUT, **where)
    yield
    dist.destroy_process_group()  # not after an error: it would wait for the others, and they for this process


def summed(values: Tensor) -> Tensor:
    """The sum of the processes' values: the same bits in each. No gradient flows through it."""
    if not dist.is_initialized():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def averaged(values: Tensor) -> Tensor:
    """The mean of the processes' values: the same bits in each. No gradient flows through it."""
    return summed(values) / own_share().of


def gathered(values: Tensor) -> Tensor:
    """The values of each process, in the order of their ranks: [processes, ...]. No gradient flows through it."""
    share = own_share()
    slots = values.new_zeros(share.of, *values.shape)
    slots[share.rank] = values
    return summed(slots)


def replicated(model: nn.Module) -> nn.Module:
    """The same model, its gradients averaged over the processes as the backward pass goes.

    The mean of the means of equal shares is the mean of the batch. Buffers are left alone: batch norm's are the same
    in each process already (see `recolor.training.batch_norm`).
    """
    if not dist.is_initialized():
        return model
    device = next(model.parameters()).device
    with warnings.catch_warnings():  # newer torch has another name for `broadcast_buffers`, and knows this one still
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )


def _file_store(path: Path, size: int) -> Any:
    return dist.FileStore(str(path), size)  # type: ignore[attr-defined]  # torch lists the other stores only


def _of_torchrun(variable: str) -> int:
    return int(os.environ[variable])
