"""Which device the tensors live on."""

import torch

from recolor.config import DeviceName
from recolor.errors import ConfigError


def resolve_device(name: DeviceName, devices: int = 1) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one.

    Args:
        name: `auto`, `cpu` or `cuda`.
        devices: How many are needed: of GPUs so many must be there, a CPU stands for any number.

    Raises:
        ConfigError: CUDA was asked for and is not there, or there are fewer GPUs than are needed.
    """
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
