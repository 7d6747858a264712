"""Training the generator: from the shards to `data/models/generator/`."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recolor.config import Config, GeneratorConfig, TrainConfig
from recolor.dataset import Batch, ShardDataset, make_batch
from recolor.models.ab_bins import AbBins, class_weights
from recolor.models.device import resolve_device
from recolor.models.files import bins_json
from recolor.models.generator import Generator
from recolor.models.weights import encoder_identity, load_encoder_weights
from recolor.stage import Counts, Outcome, Part, run_part, stage_key
from recolor.train.loop import train
from recolor.train.losses import distribution_loss, regression_loss
from recolor.train.outputs import (
    keyed,
    model_outputs,
    shards_record,
    stored_px,
    validation_set,
    write_outputs,
)
from recolor.train.step import Loss, Training
from recolor.workspace import Workspace

STAGE = "train-generator"
VERSION = 1
DISTRIBUTION_IMAGES = 2048  # at most so many tell how often each colour occurs
_CHUNK_IMAGES = 64

_log = logging.getLogger(__name__)


def train_generator(workspace: Workspace, config: Config) -> Outcome:
    """Trains the generator, unless it is there already; goes on where a killed training stopped.

    Args:
        workspace: With finished shards; `data/models/generator/` and its checkpoints are written.
        config: `config.generator` counts.

    Raises:
        ConfigError: CUDA was asked for and is not there.
        MissingStageError: There are no finished shards.
        InputError: The train split is empty.
        WeightsError: The encoder's first weights cannot be had.
        TrainingError: The loss is no longer finite.
        StorageError: The disk is full or failing.
    """
    device = resolve_device(config.generator.train.device)
    inputs = {
        "shards": shards_record(workspace).content,
        "encoder": encoder_identity(config.generator.model.encoder_weights),
    }
    folder = workspace.models / "generator"
    part = Part(workspace, STAGE, VERSION, keyed(config.generator), inputs, model_outputs(folder))
    return run_part(part, lambda staging: _build(part, config.generator, device, staging))


def colour_distribution(dataset: ShardDataset, config: TrainConfig) -> Tensor:
    """How often each ab bin occurs in evenly spaced images of a data set: [Q] float64, summing to 1."""
    bins = AbBins()
    count = min(dataset.rows, DISTRIBUTION_IMAGES)
    rows = np.linspace(0, dataset.rows - 1, count).round().astype(np.int64)
    total = torch.zeros(bins.count, dtype=torch.float64)
    for start in range(0, count, _CHUNK_IMAGES):
        codes = torch.from_numpy(dataset.codes(rows[start : start + _CHUNK_IMAGES]))
        ab = make_batch(codes, train=config, step=0, augment=False).ab_small
        total += len(codes) * bins.distribution(ab.permute(0, 2, 3, 1))
    return total / count


def _build(part: Part, config: GeneratorConfig, device: torch.device, staging: Path) -> Counts:
    model, weights_sha256 = _fresh_model(config)
    train_set = ShardDataset.open(part.workspace, "train")
    colours = colour_distribution(train_set, config.train)
    key = _checkpoint_key(part, config)
    training = Training(
        name="generator",
        model=model.to(device),
        loss=_loss(config, model.bins, class_weights(colours, config.rebalance).to(device)),
        config=config.train,
        checkpoints=part.outputs[0].parent / "checkpoints" / key[:16],
        key=key,
    )
    trained = train(training, train_set, validation_set(part.workspace))
    write_outputs(
        staging, trained, _config_json(part, config, colours, weights_sha256, stored_px(train_set)), "generator"
    )
    return {"steps": config.train.steps, "images": train_set.rows}


def _fresh_model(config: GeneratorConfig) -> tuple[Generator, str]:
    """The model with its first weights, fixed by the seed, and what the encoder's are (their SHA-256)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        model = Generator(config.model)
    return model, load_encoder_weights(model.encoder, config.model.encoder_weights)


def _loss(config: GeneratorConfig, bins: AbBins, weights: Tensor) -> Loss:
    def distribution(model: nn.Module, batch: Batch) -> Tensor:
        return distribution_loss(model(batch.L), batch.ab_small, bins, weights)

    def regression(model: nn.Module, batch: Batch) -> Tensor:
        return regression_loss(model(batch.L), batch.ab_small)

    return distribution if config.model.head == "distribution" else regression


def _checkpoint_key(part: Part, config: GeneratorConfig) -> str:
    """The part's key without T, which is used only to read the distribution: another T trains nothing again."""
    return stage_key(STAGE, VERSION, replace(keyed(config), temperature=1.0), part.inputs)


def _config_json(
    part: Part, config: GeneratorConfig, colours: Tensor, weights_sha256: str, image_px: int
) -> Mapping[str, Any]:
    settings = asdict(keyed(config))
    return {
        "kind": "generator",
        "image_px": image_px,
        "key": part.key,
        "model": settings["model"],
        "temperature": config.temperature,
        "ab_bins": bins_json(),
        "ab_distribution": colours.tolist(),
        "encoder": {"weights": part.inputs["encoder"], "tensors_sha256": weights_sha256},
        "training": {"train": settings["train"], "rebalance": config.rebalance, "inputs": dict(part.inputs)},
    }
