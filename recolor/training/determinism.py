"""Which algorithms torch takes: those that give the same bits every time, or the fastest."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic

from recolor.config.settings import TrainConfig
from recolor.errors import ConfigError

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_CUBLAS_VALUES = (":4096:8", ":16:8")  # with which cuBLAS gives the same bits (its documentation, section 2.1.4)


def prepare_cublas(config: TrainConfig, device: torch.device) -> None:
    """Sets what cuBLAS reads once, when it is first used, so that it can give the same bits every time.

    For each training on CUDA, as a deterministic one may follow in the same process. It costs nothing: 32 MiB is what
    torch gives cuBLAS on a Hopper GPU by itself.

    Raises:
        ConfigError: `deterministic` is on, and it is too late, or the environment says otherwise.
    """
    if device.type != "cuda":
        return
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch ships it without types
        os.environ.setdefault(_CUBLAS, _CUBLAS_VALUES[0])
    if config.deterministic and os.environ.get(_CUBLAS) not in _CUBLAS_VALUES:
        raise ConfigError(
            f"deterministic = true: cuBLAS gives the same bits only where the environment has {_CUBLAS}="
            f"{_CUBLAS_VALUES[0]} (or {_CUBLAS_VALUES[1]}) before CUDA is used, and here it is"
            f" {os.environ.get(_CUBLAS, 'not set')}. Set it and start anew, or set deterministic = false."
        )


@contextmanager
def chosen_algorithms(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """On a CPU, and on CUDA with `deterministic`, only algorithms that give the same bits every time.

    On CUDA otherwise cuDNN tries its convolutions once for each shape, and keeps the fastest: all batches have one.
    What was chosen before is chosen again at the end. Without the filling of fresh memory, which finds reads of what
    was never written and costs a tenth of a step.
    """
    before = torch.are_deterministic_algorithms_enabled()
    tried, filled = torch.backends.cudnn.benchmark, _filling(False)
    same_bits = before or config.deterministic or device.type == "cpu"
    torch.use_deterministic_algorithms(same_bits)
    torch.backends.cudnn.benchmark = not same_bits
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = tried
        _filling(filled)


def _filling(on: bool) -> bool:
    """Sets whether torch fills fresh memory in deterministic mode, and returns what was set before."""
    before: bool = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property that mypy misses
    deterministic.fill_uninitialized_memory = on  # type: ignore[attr-defined]  # as above
    return before
