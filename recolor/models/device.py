"""Which device the tensors live on."""

import torch

from recolor.config.settings import ColorizeDevice
from recolor.errors import ConfigError


def resolve_device(name: ColorizeDevice, devices: int = 1) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one, else the CPU.

    Args:
        name: `auto`, `cpu`, `cuda`, or `mps`: the GPU of an Apple computer, which colours but does not train.
        devices: How many are needed: of CUDA devices so many must be there, the others stand for any number.

    Raises:
        ConfigError: CUDA or MPS was asked for and is not there, or there are fewer GPUs than are needed.
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
            f"devices = {devices}: so many CUDA devices are not here, and each process needs its own. Allowed here: 1"
            f" to {there}, or device = 'cpu'."
        )
    return torch.device("cuda")
