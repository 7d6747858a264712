"""A model before its first step."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from recolor.config.settings import GeneratorConfig, RefinerConfig
from recolor.errors import ConfigError, WeightsError
from recolor.models.files import load_start, start_folder, start_identity
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner
from recolor.models.weights import NONE, check_encoder_weights, encoder_identity, load_encoder_weights, tensors_sha256

M = TypeVar("M", Generator, Refiner)


def first_weights(name: str, config: GeneratorConfig | RefinerConfig, models: Path) -> Mapping[str, str]:
    """What the weights are that a training starts from, as inputs of its key.

    Args:
        name: `generator` or `refiner`.
        config: That model's settings.
        models: Where the trained model will be, in a folder of that name.

    Raises:
        ConfigError: It would start from the model that it replaces, so that its key would change with its end.
        WeightsError: They cannot be had.
    """
    if config.start_from:
        if start_folder(config.start_from, name).resolve() == (models / name).resolve():
            raise ConfigError(
                f"{name}.start_from = {config.start_from!r}: these are the models that this training replaces. Copy"
                " them with `recolor export models FOLDER`, and start from that folder."
            )
        return {"encoder": NONE, "start_from": start_identity(config.start_from, name)}
    return {"encoder": encoder_identity(config.model.encoder_weights)}


def check_first_weights(name: str, config: GeneratorConfig | RefinerConfig) -> None:
    """Makes sure, within seconds, that the first weights can be had and fit the model, and a perceptual loss's can too.

    Raises:
        WeightsError: They cannot or do not; says which other choices there are.
    """
    if isinstance(config, RefinerConfig) and config.perceptual_weight:
        _check_perceptual_weights(config)
    if not config.start_from:
        try:
            check_encoder_weights(config.model.encoder_weights)
        except WeightsError as error:
            raise WeightsError(f"{name}.model.{error}") from error
    elif isinstance(config, GeneratorConfig):
        load_start(Generator(config.model), config.start_from, name)
    else:
        load_start(Refiner(config.model), config.start_from, name)


def fresh_model(kind: Callable[[Any], M], name: str, config: GeneratorConfig | RefinerConfig) -> tuple[M, str]:
    """A model with its first weights: a trained model's, or fixed by the seed but for the encoder's.

    Args:
        kind: `Generator` or `Refiner`.
        name: `generator` or `refiner`.
        config: That model's settings.

    Returns:
        The model, and what its encoder's weights are: their SHA-256.

    Raises:
        WeightsError: The weights cannot be had.
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
