"""Training of the refiner: from the shards and the generator to `data/models/refiner/`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recolor.config.settings import Config, RefinerConfig
from recolor.dataset.augment import Batch, seen_px
from recolor.dataset.dataset import ShardDataset
from recolor.models.files import MODEL_FILE, LoadedGenerator, load_generator, model_content
from recolor.models.refiner import Refiner
from recolor.models.weights import encoder_identity
from recolor.pipeline.cache import Counts, Outcome, Part, require_record
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import index_path
from recolor.training.checks import check_training
from recolor.training.discriminator import AdversarialTraining, adversarial_loss, discriminator_loss
from recolor.training.distributed import TrainingStage, is_main_process, local_device, run_training
from recolor.training.initial_weights import initial_model, initial_weights
from recolor.training.loop import train
from recolor.training.losses import PhotographFeatures, perceptual_loss, refinement_loss
from recolor.training.outputs import (
    key_contents,
    key_settings,
    key_settings_dict,
    model_outputs,
    shards_record,
    stored_px,
    validation_set,
    write_outputs,
)
from recolor.training.step import Loss, Training

STAGE = "train-refiner"
VERSION = 1


def train_refiner(workspace: Workspace, config: Config) -> Outcome:
    """Trains the refiner, resuming from the newest checkpoint; does nothing if already done.

    Args:
        workspace: Workspace with finished shards and generator; `data/models/refiner/` and its checkpoints are written.
        config: All settings; `config.refiner` is used.

    Raises:
        ConfigError: CUDA, or more devices than there are, was requested.
        MissingStageError: There are no finished shards, or there is no generator.
        InputError: The train split is empty.
        WeightsError: The encoder's initial weights do not exist or cannot be downloaded, or the generator cannot be
            read.
        TrainingError: The loss is no longer finite, or one of several processes has died.
        StorageError: The disk is full or failing.
    """
    return run_training(REFINER, workspace, config)


def mixed_ab(generator: LoadedGenerator, batch: Batch, predicted_fraction: float) -> Tensor:
    """Returns the ab to refine: predicted for the first images of a batch, true for the others.

    The generator predicts the ab of the first `predicted_fraction` of the whole batch of all processes; batches are
    in random order already.
    """
    count = int((batch.positions < round(predicted_fraction * batch.images)).sum())
    if count == 0:
        return batch.ab_small
    return torch.cat([generator.predict_ab(batch.L[:count]), batch.ab_small[count:]])


def refiner_loss(generator: LoadedGenerator, config: RefinerConfig, features: PhotographFeatures | None = None) -> Loss:
    """Returns the loss function of the refiner; in validation, without the adversarial loss.

    Args:
        generator: Predicts the low-resolution ab; see `mixed_ab`.
        config: Settings of the refiner; `predicted_fraction` and the losses' weights are used.
        features: Network of the perceptual loss, if that has a weight.
    """

    def against_truth(batch: Batch, ab: Tensor) -> Tensor:
        loss = refinement_loss(ab, batch.ab)
        if features is None:
            return loss
        return loss + config.perceptual_weight * perceptual_loss(features, batch.L, ab, batch.ab)

    def refinement(model: nn.Module, batch: Batch) -> Tensor:
        ab_small = mixed_ab(generator, batch, config.predicted_fraction)
        if not config.adversarial_weight:
            return against_truth(batch, model(batch.L, ab_small))
        scores = model(batch.L, ab_small, batch.ab)
        loss = against_truth(batch, scores.ab)
        if not model.training:
            return loss
        adversarial = config.adversarial_weight * adversarial_loss(scores.refined)
        return loss + adversarial + discriminator_loss(scores.photographs, scores.colourings)

    return refinement


def _part(workspace: Workspace, config: Config) -> Part:
    inputs = {
        "shards": shards_record(workspace).content,
        "generator": _generator_content(workspace),
        **initial_weights("refiner", config.refiner, workspace.models),
    }
    if config.refiner.perceptual_weight:
        inputs["perceptual"] = encoder_identity(config.refiner.perceptual_weights)
    outputs, sources = model_outputs(workspace.models / "refiner"), {"shards": index_path(workspace)}
    return Part(workspace, STAGE, VERSION, key_settings(config.refiner), inputs, outputs, sources)


def _build(part: Part, settings: Config, staging: Path) -> Counts:
    config = settings.refiner
    device = local_device(config.train)
    check_training("refiner", config.train, device, shards_record(part.workspace).counts["val"])
    model, weights_sha256 = initial_model(Refiner, "refiner", config)
    generator = load_generator(part.workspace.models / "generator", device)
    features = PhotographFeatures(config.perceptual_weights).to(device) if config.perceptual_weight else None
    train_set = ShardDataset.open(part.workspace, "train")
    training = Training(
        name="refiner",
        model=_with_discriminator(model, config).to(device),
        loss=refiner_loss(generator, config, features),
        config=config.train,
        checkpoints=_checkpoints(part, settings),
        key=part.key,
        settings=key_contents(part, config),
    )
    trained = train(training, train_set, validation_set(part.workspace))
    if is_main_process():
        config_json = _config_json(part, config, weights_sha256, seen_px(stored_px(train_set), config.train))
        refiner = trained.model.refiner if isinstance(trained.model, AdversarialTraining) else trained.model
        write_outputs(staging, replace(trained, model=refiner), config_json, "refiner")
    return {"steps": trained.steps, "images": train_set.rows}


def _with_discriminator(refiner: Refiner, config: RefinerConfig) -> nn.Module:
    """Adds a discriminator, initialised from the seed, if the adversarial loss has a weight."""
    if not config.adversarial_weight:
        return refiner
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        return AdversarialTraining(refiner)


def _generator_content(workspace: Workspace) -> str:
    return model_content(require_record(workspace.models / "generator" / MODEL_FILE, "train generator"))


def _checkpoints(part: Part, settings: Config) -> Path:
    del settings
    return part.outputs[0].parent / "checkpoints" / part.key[:16]


def _config_json(part: Part, config: RefinerConfig, weights_sha256: str, image_px: int) -> Mapping[str, Any]:
    settings = key_settings_dict(config)
    return {
        "kind": "refiner",
        "image_px": image_px,
        "key": part.key,
        "model": settings["model"],
        "encoder": {"weights": part.inputs["encoder"], "tensors_sha256": weights_sha256},
        "training": {
            "train": settings["train"],
            "predicted_fraction": config.predicted_fraction,
            "perceptual_weight": config.perceptual_weight,
            "adversarial_weight": config.adversarial_weight,
            "inputs": dict(part.inputs),
        },
    }


REFINER = TrainingStage(
    name="refiner",
    settings=lambda config: config.refiner,
    part=_part,
    build=_build,
    checkpoints=_checkpoints,
)
