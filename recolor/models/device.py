"""Which device the tensors live on."""

import torch

from recolor.config import DeviceName
from recolor.errors import ConfigError


def resolve_device(name: DeviceName) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one.

    Raises:
        ConfigError: CUDA was asked for and is not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = 'cuda': no CUDA device can be used here. Allowed here: 'auto', 'cpu'.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
