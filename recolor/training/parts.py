"""The trainings as parts of the cache: keys, outputs, checkpoints. Loads torch for hubs alone."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from recolor.colorize.look import Look
from recolor.config.settings import Config, GeneratorConfig, RefinerConfig
from recolor.errors import ConfigError
from recolor.models.identity import (
    CONFIG_FILE,
    MODEL_FILE,
    NONE,
    encoder_identity,
    model_content,
    start_folder,
    start_identity,
    teacher_identity,
    weights_kind,
)
from recolor.pipeline.cache import Part, Record, fingerprint, require_record, stage_key
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import index_path

C = TypeVar("C", GeneratorConfig, RefinerConfig)

GENERATOR_STAGE, GENERATOR_VERSION = "train-generator", 1
REFINER_STAGE, REFINER_VERSION = "train-refiner", 1
METRICS_FILE = "metrics.parquet"
CURVE_FILE = "loss_curve.png"

# Settings that are not part of the key: hardware, and what is saved during training. The key has these values.
NOT_IN_KEY: Mapping[str, Any] = {
    "device": "auto",
    "devices": 1,
    "compile": False,
    "deterministic": False,
    "resident": "auto",
    "checkpoint_steps": 1,
    "keep_checkpoints": 1,
    "metrics_steps": 1,
    "tensorboard": False,
}


def generator_part(workspace: Workspace, config: Config) -> Part:
    """Returns the training of the generator: its key and its output files.

    Raises:
        MissingStageError: There are no finished shards.
        ConfigError: It would start from the model that it replaces.
        WeightsError: The initial weights do not exist.
    """
    inputs = {
        "shards": shards_record(workspace).content,
        **initial_weights("generator", config.generator, workspace.models),
        **_teachers(config.generator, workspace.models),
    }
    settings, outputs = key_settings(config.generator), model_outputs(workspace.models / "generator")
    sources = {"shards": index_path(workspace)}
    return Part(workspace, GENERATOR_STAGE, GENERATOR_VERSION, settings, inputs, outputs, sources)


def refiner_part(workspace: Workspace, config: Config) -> Part:
    """Returns the training of the refiner: its key and its output files.

    Raises:
        MissingStageError: There are no finished shards, or there is no generator.
        ConfigError: It would start from the model that it replaces.
        WeightsError: The initial weights do not exist.
    """
    inputs = {
        "shards": shards_record(workspace).content,
        "generator": model_content(require_record(workspace.models / "generator" / MODEL_FILE, "train generator")),
        **initial_weights("refiner", config.refiner, workspace.models),
    }
    if config.refiner.predicted_fraction:
        inputs["looks"] = fingerprint([_definition(Look.named(name)) for name in config.refiner.predicted_looks])
    if config.refiner.perceptual_weight:
        inputs["perceptual"] = encoder_identity(config.refiner.perceptual_weights)
    settings, outputs = key_settings(config.refiner), model_outputs(workspace.models / "refiner")
    sources = {"shards": index_path(workspace)}
    return Part(workspace, REFINER_STAGE, REFINER_VERSION, settings, inputs, outputs, sources)


def _definition(look: Look) -> Mapping[str, object]:
    """Returns what a look changes of predicted colour; its saturation is applied after the refiner."""
    given, plain = (asdict(replace(each, saturation=1.0)) for each in (look, Look()))
    return {name: value for name, value in given.items() if value != plain[name]}


def checkpoint_folder(part: Part, config: Config) -> Path:
    """Returns the folder of the checkpoints of a training."""
    key = generator_checkpoint_key(part, config.generator) if part.stage == GENERATOR_STAGE else part.key
    return part.outputs[0].parent / "checkpoints" / key[:16]


def generator_checkpoint_key(part: Part, config: GeneratorConfig) -> str:
    """Returns the key of the generator's checkpoints."""
    return stage_key(GENERATOR_STAGE, GENERATOR_VERSION, checkpoint_settings(config), part.inputs)


def checkpoint_settings(config: GeneratorConfig) -> GeneratorConfig:
    """Returns the key settings that training depends on: with fixed temperature and saturation."""
    return replace(key_settings(config), temperature=1.0, saturation=1.0)


def model_outputs(folder: Path) -> tuple[Path, ...]:
    """Returns the paths of a trained model's files, in the order of its record."""
    return tuple(folder / name for name in (MODEL_FILE, CONFIG_FILE, METRICS_FILE, CURVE_FILE))


def key_settings(config: C) -> C:
    """Returns the settings that are part of the key, because the result depends on them.

    Hardware settings, which only affect rounding, and settings of what is saved during training are replaced by fixed
    values. Paths of initial weights and teachers are removed: the key has the hash of their content as an input.
    """
    model = replace(config.model, encoder_weights=weights_kind(config.model.encoder_weights))
    if isinstance(config, RefinerConfig):
        config = replace(config, perceptual_weights="")
    else:
        config = replace(config, teachers=())
    return replace(config, model=model, start_from="", train=replace(config.train, **NOT_IN_KEY))


def initial_weights(name: str, config: GeneratorConfig | RefinerConfig, models: Path) -> Mapping[str, str]:
    """Returns the identity of the initial weights, as inputs of the training's key.

    Args:
        name: `generator` or `refiner`.
        config: The model's settings.
        models: Folder of the workspace's models; the trained model goes into its subfolder `name`.

    Raises:
        ConfigError: `start_from` is the model that this training replaces, which would change the key.
        WeightsError: The weights do not exist.
    """
    if config.start_from:
        _check_not_replaced(f"{name}.start_from", config.start_from, name, models)
        return {"encoder": NONE, "start_from": start_identity(config.start_from, name)}
    return {"encoder": encoder_identity(config.model.encoder_weights, config.model.encoder)}


def _teachers(config: GeneratorConfig, models: Path) -> Mapping[str, str]:
    """Returns the identities of the teachers, as inputs of the training's key; without teachers nothing.

    Raises:
        ConfigError: One of them is the model that this training replaces.
        WeightsError: There is no such model.
    """
    for teacher in config.teachers:
        _check_not_replaced("generator.teachers", teacher, "generator", models)
    return {f"teacher_{number}": teacher_identity(teacher) for number, teacher in enumerate(config.teachers)}


def _check_not_replaced(setting: str, source: str, kind: str, models: Path) -> None:
    if start_folder(source, kind).resolve() == (models / kind).resolve():
        raise ConfigError(
            f"{setting} = {source!r}: this training would replace a model that it needs. Copy it with `recolor export"
            " models FOLDER`, and name that folder."
        )


def shards_record(workspace: Workspace) -> Record:
    """Returns the record of the shards' index.

    Raises:
        MissingStageError: There are no finished shards.
    """
    return require_record(index_path(workspace), "shards build")
