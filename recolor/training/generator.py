"""Training of the generator: from the shards to `data/models/generator/`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor.config.settings import Config, GeneratorConfig, TrainConfig
from recolor.dataset.augment import Batch, make_batch, seen_px
from recolor.dataset.dataset import ShardDataset
from recolor.models.ab_bins import AbBins, class_weights
from recolor.models.files import bins_json
from recolor.models.generator import Generator
from recolor.pipeline.cache import Counts, Outcome, Part
from recolor.pipeline.workspace import Workspace
from recolor.training.checks import check_training
from recolor.training.distributed import TrainingStage, is_main_process, local_device, run_training
from recolor.training.initial_weights import initial_model
from recolor.training.loop import train
from recolor.training.losses import distillation_loss, distribution_loss, regression_loss
from recolor.training.outputs import key_contents, key_settings_dict, stored_px, validation_set, write_outputs
from recolor.training.parts import (
    checkpoint_folder,
    checkpoint_settings,
    generator_checkpoint_key,
    generator_part,
    shards_record,
)
from recolor.training.step import Loss, Training
from recolor.training.teachers import Teach, load_teachers, teaching

DISTRIBUTION_IMAGES = 2048  # maximum number of images for the colour distribution
_CHUNK_IMAGES = 64

_log = logging.getLogger(__name__)


def train_generator(workspace: Workspace, config: Config, name: str = "") -> Outcome:
    """Trains the generator, resuming from the newest checkpoint; does nothing if already done.

    Args:
        workspace: Workspace with finished shards; `data/models/generator/` and its checkpoints are written.
        config: All settings; `config.generator` is used.
        name: Name under which the training is kept in `data/models/runs/`. Default: the date and the start of the key.

    Raises:
        ConfigError: CUDA, or more devices than there are, was requested, a teacher does not fit, or the name is taken.
        MissingStageError: There are no finished shards.
        InputError: The train split is empty.
        WeightsError: The encoder's initial weights do not exist or cannot be downloaded, or a teacher does not exist.
        TrainingError: The loss is no longer finite, or one of several processes has died.
        StorageError: The disk is full or failing.
    """
    return run_training(GENERATOR, workspace, config, name)


def colour_distribution(dataset: ShardDataset, config: TrainConfig) -> Tensor:
    """Returns the frequency of each ab bin in evenly spaced images: float64 [Q], summing to 1."""
    bins = AbBins()
    count = min(dataset.rows, DISTRIBUTION_IMAGES)
    rows = np.linspace(0, dataset.rows - 1, count).round().astype(np.int64)
    total = torch.zeros(bins.count, dtype=torch.float64)
    for start in range(0, count, _CHUNK_IMAGES):
        codes = torch.from_numpy(dataset.codes(rows[start : start + _CHUNK_IMAGES]))
        ab = make_batch(codes, train=config, step=0, augment=False).ab_small
        total += len(codes) * bins.distribution(ab.permute(0, 2, 3, 1))
    return total / count


def generator_loss(config: GeneratorConfig, bins: AbBins, weights: Tensor, teach: Teach | None = None) -> Loss:
    """Returns the loss function of the generator, which depends on its head.

    Teachers count in training only: validation losses of trainings with and without them can be compared.

    Args:
        config: Settings of the generator.
        bins: The ab bins.
        weights: Weight of each bin, float32 [Q]; not used by a regression head.
        teach: Returns the teachers' distribution, which counts `config.teacher_weight` of the loss.
    """
    scale = config.model.scale

    def distribution(model: nn.Module, batch: Batch) -> Tensor:
        logits = model(batch.L)
        loss = distribution_loss(logits, functional.avg_pool2d(batch.ab_small, scale), bins, weights)
        if teach is None or not model.training:
            return loss
        return loss.lerp(distillation_loss(logits, teach(batch.L)), config.teacher_weight)

    def regression(model: nn.Module, batch: Batch) -> Tensor:
        return regression_loss(model(batch.L), functional.avg_pool2d(batch.ab_small, scale))

    return distribution if config.model.head == "distribution" else regression


def _build(part: Part, settings: Config, staging: Path) -> Counts:
    config = settings.generator
    device = local_device(config.train)
    check_training("generator", config.train, device, shards_record(part.workspace).counts["val"])
    teachers = load_teachers(config, device)
    model, weights_sha256 = initial_model(Generator, "generator", config)
    train_set = ShardDataset.open(part.workspace, "train")
    colours = colour_distribution(train_set, config.train)
    weights = class_weights(colours, config.rebalance).to(device)
    image_px = seen_px(stored_px(train_set), config.train)
    training = Training(
        name="generator",
        model=model.to(device),
        loss=generator_loss(config, model.bins, weights, teaching(teachers, weights, image_px)),
        config=config.train,
        checkpoints=checkpoint_folder(part, settings),
        key=generator_checkpoint_key(part, config),
        settings=key_contents(part, checkpoint_settings(config)),
    )
    trained = train(training, train_set, validation_set(part.workspace))
    if is_main_process():
        config_json = _config_json(part, config, colours, weights_sha256, image_px)
        write_outputs(staging, trained, config_json, "generator")
    return {"steps": trained.steps, "images": train_set.rows}


def _config_json(
    part: Part, config: GeneratorConfig, colours: Tensor, weights_sha256: str, image_px: int
) -> Mapping[str, Any]:
    settings = key_settings_dict(config)
    teaching = {"teacher_weight": config.teacher_weight} if config.teachers else {}
    return {
        "kind": "generator",
        "image_px": image_px,
        "key": part.key,
        "model": settings["model"],
        "temperature": config.temperature,
        "saturation": config.saturation,
        "ab_bins": bins_json(),
        "ab_distribution": colours.tolist(),
        "encoder": {"weights": part.inputs["encoder"], "tensors_sha256": weights_sha256},
        "training": {
            "train": settings["train"],
            "rebalance": config.rebalance,
            **teaching,
            "inputs": dict(part.inputs),
        },
    }


GENERATOR = TrainingStage(
    name="generator",
    settings=lambda config: config.generator,
    part=generator_part,
    build=_build,
    checkpoints=checkpoint_folder,
)
