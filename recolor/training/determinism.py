"""Choice of torch's algorithms: deterministic ones, or the fastest."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic

from recolor.config.settings import TrainConfig
from recolor.errors import ConfigError

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_CUBLAS_VALUES = (":4096:8", ":16:8")  # with these, cuBLAS is deterministic (its documentation, section 2.1.4)


def prepare_cublas(config: TrainConfig, device: torch.device) -> None:
    """Sets CUBLAS_WORKSPACE_CONFIG for deterministic results, before CUDA is initialised.

    cuBLAS reads the variable once, so it is set for each training on CUDA: a deterministic one may follow in the same
    process. It costs nothing: torch gives cuBLAS the same 32 MiB on a Hopper GPU by default.

    Raises:
        ConfigError: `deterministic` is on, and CUDA is already initialised or the variable has another value.
    """
    if device.type != "cuda":
        return
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch ships it without types
        os.environ.setdefault(_CUBLAS, _CUBLAS_VALUES[0])
    if config.deterministic and os.environ.get(_CUBLAS) not in _CUBLAS_VALUES:
        raise ConfigError(
            f"deterministic = true: cuBLAS is deterministic only if the environment has {_CUBLAS}="
            f"{_CUBLAS_VALUES[0]} (or {_CUBLAS_VALUES[1]}) before CUDA is used, and here it is"
            f" {os.environ.get(_CUBLAS, 'not set')}. Set it and restart, or set deterministic = false."
        )


@contextmanager
def chosen_algorithms(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Selects torch's algorithms for the block.

    They are deterministic on a CPU, and on CUDA with `deterministic`.

    Otherwise cuDNN benchmarks its convolutions once per input shape and uses the fastest; all batches have the same
    shape. Previous settings are restored at the end. Torch's filling of uninitialised memory in deterministic mode is
    switched off: it only helps to find reads of unwritten memory and takes a tenth of a step.
    """
    before = torch.are_deterministic_algorithms_enabled()
    benchmark, filled = torch.backends.cudnn.benchmark, _set_memory_filling(False)
    wanted = before or config.deterministic or device.type == "cpu"
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = not wanted
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
        _set_memory_filling(filled)


def _set_memory_filling(on: bool) -> bool:
    """Sets whether deterministic mode fills uninitialised memory; returns the old value."""
    before: bool = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property that mypy misses
    deterministic.fill_uninitialized_memory = on  # type: ignore[attr-defined]  # as above
    return before
