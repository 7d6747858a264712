"""Training of the refiner: from the shards and the generator to `data/models/refiner/`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recolor.colorize.look import Look
from recolor.config.settings import Config, LookName, RefinerConfig
from recolor.dataset.augment import Batch, seen_px, to_device
from recolor.dataset.dataset import ShardDataset
from recolor.models.files import LoadedGenerator, load_generator
from recolor.models.refiner import Refiner
from recolor.pipeline.cache import Counts, Outcome, Part
from recolor.pipeline.workspace import Workspace
from recolor.training.checks import check_training
from recolor.training.discriminator import AdversarialTraining, adversarial_loss, discriminator_loss
from recolor.training.distributed import TrainingStage, is_main_process, local_device, run_training
from recolor.training.initial_weights import initial_model
from recolor.training.loop import train
from recolor.training.losses import PhotographFeatures, perceptual_loss, refinement_loss, ssim_loss
from recolor.training.outputs import key_contents, key_settings_dict, stored_px, validation_set, write_outputs
from recolor.training.parts import checkpoint_folder, refiner_part, shards_record
from recolor.training.step import Loss, Training


def train_refiner(workspace: Workspace, config: Config, name: str = "") -> Outcome:
    """Trains the refiner, resuming from the newest checkpoint; does nothing if already done.

    Args:
        workspace: Workspace with finished shards and generator; `data/models/refiner/` and its checkpoints are written.
        config: All settings; `config.refiner` is used.
        name: Name under which the training is kept in `data/models/runs/`. Default: the date and the start of the key.

    Raises:
        ConfigError: CUDA, or more devices than there are, was requested, or the name is taken.
        MissingStageError: There are no finished shards, or there is no generator.
        InputError: The train split is empty.
        WeightsError: The encoder's initial weights do not exist or cannot be downloaded, or the generator cannot be
            read.
        TrainingError: The loss is no longer finite, or one of several processes has died.
        StorageError: The disk is full or failing.
    """
    return run_training(REFINER, workspace, config, name)


def mixed_ab(
    generator: LoadedGenerator, batch: Batch, predicted_fraction: float, looks: Sequence[LookName] = ("natural",)
) -> Tensor:
    """Returns the ab to refine: predicted for the first images of a batch, true for the others.

    The generator predicts the ab of the first `predicted_fraction` of the whole batch of all processes, of each look in
    turn; batches are in random order already. Saturation is left out, as it is applied after the refiner.
    """
    count = int((batch.positions < round(predicted_fraction * batch.images)).sum())
    if count == 0:
        return batch.ab_small
    out, ab_small = generator.predict(batch.L[:count]), batch.ab_small.clone()
    for number, look in enumerate(map(Look.named, looks)):
        rows = to_device(np.flatnonzero(batch.positions[:count] % len(looks) == number), out.device)
        ab_small[rows] = generator.read_ab(
            out[rows],
            look.temperature,
            rebalanced=look.rebalanced,
            tilt=look.tilt,
            chroma_contrast=look.chroma_contrast,
        )
    return ab_small


def refiner_loss(generator: LoadedGenerator, config: RefinerConfig, features: PhotographFeatures | None = None) -> Loss:
    """Returns the loss function of the refiner; in validation, without the adversarial loss.

    Args:
        generator: Predicts the low-resolution ab; see `mixed_ab`.
        config: Settings of the refiner; `predicted_fraction`, `predicted_looks` and the losses' weights are used.
        features: Network of the perceptual loss, if that has a weight.
    """

    def against_truth(batch: Batch, ab: Tensor) -> Tensor:
        loss = refinement_loss(ab, batch.ab)
        if config.ssim_weight:
            loss = loss + config.ssim_weight * ssim_loss(batch.L, ab, batch.ab)
        if features is not None:
            loss = loss + config.perceptual_weight * perceptual_loss(features, batch.L, ab, batch.ab)
        return loss

    def refinement(model: nn.Module, batch: Batch) -> Tensor:
        ab_small = mixed_ab(generator, batch, config.predicted_fraction, config.predicted_looks)
        if not config.adversarial_weight:
            return against_truth(batch, model(batch.L, ab_small))
        scores = model(batch.L, ab_small, batch.ab)
        loss = against_truth(batch, scores.ab)
        if not model.training:
            return loss
        adversarial = config.adversarial_weight * adversarial_loss(scores.refined)
        return loss + adversarial + discriminator_loss(scores.photographs, scores.colourings)

    return refinement


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
        checkpoints=checkpoint_folder(part, settings),
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
            "predicted_looks": list(config.predicted_looks),
            "ssim_weight": config.ssim_weight,
            "perceptual_weight": config.perceptual_weight,
            "adversarial_weight": config.adversarial_weight,
            "inputs": dict(part.inputs),
        },
    }


REFINER = TrainingStage(
    name="refiner",
    settings=lambda config: config.refiner,
    part=refiner_part,
    build=_build,
    checkpoints=checkpoint_folder,
)
