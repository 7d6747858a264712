"""A model before its first step."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from recolor.config import GeneratorConfig, RefinerConfig
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner
from recolor.models.weights import load_encoder_weights

M = TypeVar("M", Generator, Refiner)


def fresh_model(kind: Callable[[Any], M], config: GeneratorConfig | RefinerConfig) -> tuple[M, str]:
    """A model with its first weights, fixed by the seed.

    Args:
        kind: `Generator` or `Refiner`.
        config: That model's settings.

    Returns:
        The model, and what its encoder's weights are: their SHA-256.

    Raises:
        WeightsError: The encoder's weights cannot be had.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        model = kind(config.model)
    return model, load_encoder_weights(model.encoder, config.model.encoder_weights)
