"""The two trainings with their real models, losses and settings, but fresh weights and nothing kept."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from recolor.bench.report import ModelName
from recolor.config.settings import Config, TrainConfig
from recolor.models.files import LoadedGenerator
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner
from recolor.training.generator import generator_loss
from recolor.training.refiner import refiner_loss
from recolor.training.step import Loss, Training

MODELS: dict[ModelName, type[nn.Module]] = {"generator": Generator, "refiner": Refiner}


def train_config(config: Config, name: ModelName) -> TrainConfig:
    """The settings of a model's training."""
    return config.generator.train if name == "generator" else config.refiner.train


def fresh_training(name: ModelName, config: Config, train: TrainConfig, device: torch.device) -> Training:
    """A training before its first step.

    The encoders start from random weights, and every colour weighs the same: what the numbers are takes no time. A
    refiner's generator is a fresh one; its predictions are part of the refiner's steps.

    Args:
        name: What is trained.
        config: The shapes of the models count, and what the losses need.
        train: How it is trained.
        device: Where.
    """
    torch.manual_seed(train.seed)
    if name == "generator":
        generator = Generator(config.generator.model).to(device)
        weights = torch.ones_like(generator.bins.centres[:, 0])
        return _training(name, generator, generator_loss(config.generator, generator.bins, weights), train)
    refiner = Refiner(config.refiner.model).to(device)
    return _training(name, refiner, _refiner_loss(config, device), train)


def _training(name: ModelName, model: nn.Module, loss: Loss, train: TrainConfig) -> Training:
    return Training(name=name, model=model, loss=loss, config=train, checkpoints=Path(), key="")


def _refiner_loss(config: Config, device: torch.device) -> Loss:
    fresh = Generator(config.generator.model).to(device).to(memory_format=torch.channels_last)
    fresh.eval().requires_grad_(False)
    generator = LoadedGenerator(
        fresh, config.generator.model, config.generator.temperature, config.generator.saturation, {}
    )
    return refiner_loss(generator, replace(config.refiner, adversarial_weight=0.0))  # without a discriminator
