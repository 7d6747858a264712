"""The torch device, and the number of threads that torch uses on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from recolor.config.settings import ColorizeDevice
from recolor.errors import ConfigError


def resolve_device(name: ColorizeDevice, devices: int = 1) -> torch.device:
    """Returns the device of that name; `auto` is CUDA if available, otherwise the CPU.

    Args:
        name: `auto`, `cpu`, `cuda`, or `mps`, the GPU of an Apple computer, which is not supported for training.
        devices: Number of devices needed. Only CUDA devices are counted.

    Raises:
        ConfigError: CUDA or MPS was requested but is not available, or there are fewer GPUs than `devices`.
    """
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("device = 'mps': no Apple GPU can be used here. Allowed here: 'auto', 'cpu'.")
        return torch.device("mps")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError("device = 'cuda': no CUDA device can be used here. Allowed here: 'auto', 'cpu'.")
    if devices > (there := torch.cuda.device_count()):
        raise ConfigError(
            f"devices = {devices}: there are fewer CUDA devices here, and each process needs its own. Allowed here: 1"
            f" to {there}, or device = 'cpu'."
        )
    return torch.device("cuda")


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Limits torch to `threads` threads in the block, for callers that run their own threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
