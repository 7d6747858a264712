"""Output files of a training (model, config, metrics, loss curve) and its key settings."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from recolor.config.settings import GeneratorConfig, RefinerConfig
from recolor.dataset.dataset import ShardDataset
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import TRAINING_METRICS
from recolor.models.files import CONFIG_FILE, MODEL_FILE, save_model
from recolor.models.weights import weights_kind
from recolor.pipeline.cache import Part, Record, require_record
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import index_path
from recolor.training.metrics import draw_loss_curve, metrics_table
from recolor.training.resume import Trained

C = TypeVar("C", GeneratorConfig, RefinerConfig)

METRICS_FILE = "metrics.parquet"
CURVE_FILE = "loss_curve.png"

# Settings that are not part of the key: hardware, and what is saved during training. The key has these values.
_NOT_IN_KEY: dict[str, Any] = {
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


def model_outputs(folder: Path) -> tuple[Path, ...]:
    """Returns the paths of a trained model's files, in the order of its record."""
    return tuple(folder / name for name in (MODEL_FILE, CONFIG_FILE, METRICS_FILE, CURVE_FILE))


def write_outputs(folder: Path, trained: Trained, config_json: Mapping[str, Any], curve_title: str) -> None:
    """Writes the files of a trained model; the same training gives the same bytes."""
    steps = {"steps_done": trained.steps, "exported_step": trained.exported_step}
    training = {**config_json["training"], **steps}
    save_model(folder, trained.model, {**config_json, "training": training})
    write_manifest(TRAINING_METRICS, metrics_table(trained.metrics), folder / METRICS_FILE)
    draw_loss_curve(trained.metrics, curve_title, folder / CURVE_FILE, planned_steps=trained.planned_steps)


def key_settings(config: C) -> C:
    """Returns the settings that are part of the key, because the result depends on them.

    Hardware settings, which only affect rounding, and settings of what is saved during training are replaced by fixed
    values. Paths of initial weights are removed: the key has the hash of their content as an input.
    """
    model = replace(config.model, encoder_weights=weights_kind(config.model.encoder_weights))
    if isinstance(config, RefinerConfig):
        config = replace(config, perceptual_weights="")
    return replace(config, model=model, start_from="", train=replace(config.train, **_NOT_IN_KEY))


def key_settings_dict(config: C) -> dict[str, Any]:
    """Returns the settings of `key_settings` as a dict for `config.json`.

    Settings that are not in the key are left out.
    """
    settings = asdict(key_settings(config))
    settings["train"] = {name: value for name, value in settings["train"].items() if name not in _NOT_IN_KEY}
    return settings


def key_contents(part: Part, config: C) -> dict[str, object]:
    """Returns what a training's key is made of, by dotted names: its stage, settings and inputs."""
    return {
        "stage": f"{part.stage}, version {part.version}",
        **_dotted(key_settings_dict(config)),
        **_dotted({"inputs": part.inputs}),
    }


def shards_record(workspace: Workspace) -> Record:
    """Returns the record of the shards' index.

    Raises:
        MissingStageError: There are no finished shards.
    """
    return require_record(index_path(workspace), "shards build")


def stored_px(dataset: ShardDataset) -> int:
    """Returns the side, in pixels, of the square images in the shards."""
    return int(dataset.shards[0].shape[-1])


def validation_set(workspace: Workspace) -> ShardDataset | None:
    """Returns the val split; None if it has no images."""
    return ShardDataset.open(workspace, "val") if shards_record(workspace).counts["val"] else None


def _dotted(values: Mapping[str, Any], at: str = "") -> dict[str, object]:
    """Flattens nested mappings; the keys are dotted names."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat.update(_dotted(value, f"{at}{name}.") if isinstance(value, Mapping) else {f"{at}{name}": value})
    return flat
