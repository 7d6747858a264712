"""Initial weights of a model: random, a pretrained encoder's, or those of a trained model."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from recolor.config.settings import GeneratorConfig, RefinerConfig
from recolor.errors import WeightsError
from recolor.models.files import load_start
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner
from recolor.models.weights import check_encoder_weights, load_encoder_weights, tensors_sha256

M = TypeVar("M", Generator, Refiner)


def check_initial_weights(name: str, config: GeneratorConfig | RefinerConfig) -> None:
    """Checks within seconds that initial and perceptual loss weights exist and fit.

    Raises:
        WeightsError: They do not; the message names the alternatives.
    """
    if isinstance(config, RefinerConfig) and config.perceptual_weight:
        _check_perceptual_weights(config)
    if not config.start_from:
        try:
            depth = config.model.encoder_depth if isinstance(config, GeneratorConfig) else 1
            check_encoder_weights(config.model.encoder_weights, config.model.encoder, depth)
        except WeightsError as error:
            raise WeightsError(f"{name}.model: {error}") from error
    elif isinstance(config, GeneratorConfig):
        load_start(Generator(config.model), config.start_from, name)
    else:
        load_start(Refiner(config.model), config.start_from, name)


def initial_model(kind: Callable[[Any], M], name: str, config: GeneratorConfig | RefinerConfig) -> tuple[M, str]:
    """Returns a model with its initial weights.

    With `start_from`, these are the weights of a trained model. Otherwise they are random, a function of the seed
    alone, except for those of a pretrained encoder.

    Args:
        kind: `Generator` or `Refiner`.
        name: `generator` or `refiner`.
        config: The model's settings.

    Returns:
        The model, and the SHA-256 of its encoder's weights.

    Raises:
        WeightsError: The weights do not exist, cannot be downloaded, or do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        model = kind(config.model)
    if config.start_from:
        load_start(model, config.start_from, name)
        return model, tensors_sha256(model.encoder.state_dict())
    return model, load_encoder_weights(model.encoder, config.model.encoder_weights)


def _check_perceptual_weights(config: RefinerConfig) -> None:
    try:
        check_encoder_weights(config.perceptual_weights)
    except WeightsError as error:
        raise WeightsError(f"refiner.perceptual_weights: {error}") from error
