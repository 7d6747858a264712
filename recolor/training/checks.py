"""Checks, before a training starts, that its settings can be met."""

from importlib.util import find_spec

import torch

from recolor.config.settings import TrainConfig
from recolor.errors import ConfigError
from recolor.training.determinism import prepare_cublas


def check_training(name: str, config: TrainConfig, device: torch.device, val_images: int) -> None:
    """Checks that the settings of a training can be met, except compiling (`check_compiler`).

    Args:
        name: Name of the model.
        config: Its training settings.
        device: Device of the training. CUDA must not be initialised yet.
        val_images: Number of images in the val split.

    Raises:
        ConfigError: They cannot; the message says what to do.
    """
    check_packages(name, config)
    prepare_cublas(config, device)
    if config.patience and not val_images:
        raise ConfigError(
            f"{name}.train.patience = {config.patience}: no image is in the val split, so there is no validation loss"
            " for early stopping. Add images, raise select.val_fraction, or set it to 0."
        )


def check_packages(name: str, config: TrainConfig) -> None:
    """Checks that the optional packages that a training needs are installed.

    Raises:
        ConfigError: One is not; the message says how to install it.
    """
    if config.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError(
            f"{name}.train.tensorboard = true: the package `tensorboard` is not installed. Run `pip install"
            " tensorboard` (in Recolor's folder with `-c constraints.txt`), or set it to false."
        )


def check_compiler(name: str, device: torch.device) -> None:
    """Checks that torch can compile for a device, by compiling a small function within seconds.

    Raises:
        ConfigError: It cannot; the message says why.
    """
    try:
        torch.compile(_small_function)(torch.zeros(8, device=device))
    except RuntimeError as error:  # raised by torch.compile if the compiler, headers or Triton are missing
        raise ConfigError(
            f"{name}.train.compile = true: torch cannot compile here ({str(error).strip().splitlines()[0]}). Install a"
            " C++ compiler, such as g++, and Python's headers, or set it to false."
        ) from error


def _small_function(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1
