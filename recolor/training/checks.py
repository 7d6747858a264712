"""What must be there for a training's settings, looked for before it starts."""

from importlib.util import find_spec

import torch

from recolor.config.settings import TrainConfig
from recolor.errors import ConfigError
from recolor.training.determinism import prepare_cublas


def check_training(name: str, config: TrainConfig, device: torch.device, val_images: int) -> None:
    """Makes sure that a training can be what its settings say, but for compiling, which takes longer to find out.

    Args:
        name: Of the model.
        config: Its settings.
        device: Where it runs; CUDA not used yet.
        val_images: Images of the val split.

    Raises:
        ConfigError: It cannot; says what to do.
    """
    check_packages(name, config)
    prepare_cublas(config, device)
    if config.patience and not val_images:
        raise ConfigError(
            f"{name}.train.patience = {config.patience}: no image is in the val split, so there is no validation loss"
            " to stop by. Add images, raise select.val_fraction, or set it to 0."
        )


def check_packages(name: str, config: TrainConfig) -> None:
    """Makes sure that the package is installed that a training needs beyond Recolor's own.

    Raises:
        ConfigError: It is not; says how to install it.
    """
    if config.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError(
            f"{name}.train.tensorboard = true: the package `tensorboard` is not installed. Run `pip install"
            " tensorboard` (in Recolor's folder with `-c constraints.txt`), or set it to false."
        )


def check_compiler(name: str, device: torch.device) -> None:
    """Makes sure that torch can compile for a device, by compiling something small: some seconds, not minutes.

    Raises:
        ConfigError: It cannot; says why.
    """
    try:
        torch.compile(_something_small)(torch.zeros(8, device=device))
    except RuntimeError as error:  # all that torch.compile raises where compiler, headers or Triton are missing
        raise ConfigError(
            f"{name}.train.compile = true: torch cannot compile here ({str(error).strip().splitlines()[0]}). Install a"
            " C++ compiler, such as g++, and Python's headers, or set it to false."
        ) from error


def _something_small(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1
