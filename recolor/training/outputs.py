"""What a finished training leaves: the model, its config, its metrics and their picture."""

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
from recolor.training.curves import draw_loss_curve
from recolor.training.metrics import metrics_table
from recolor.training.resume import Trained

C = TypeVar("C", GeneratorConfig, RefinerConfig)

METRICS_FILE = "metrics.parquet"
CURVE_FILE = "loss_curve.png"

# What a training runs on, and what is saved on the way: one value stands for all.
_NEUTRAL: dict[str, Any] = {
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
    """The files of a trained model, in the order of its record."""
    return tuple(folder / name for name in (MODEL_FILE, CONFIG_FILE, METRICS_FILE, CURVE_FILE))


def write_outputs(folder: Path, trained: Trained, config_json: Mapping[str, Any], curve_title: str) -> None:
    """Writes all of them; the same training gives the same bytes."""
    came_to = {"steps_done": trained.steps, "exported_step": trained.exported_step}
    training = {**config_json["training"], **came_to}
    save_model(folder, trained.model, {**config_json, "training": training})
    write_manifest(TRAINING_METRICS, metrics_table(trained.metrics), folder / METRICS_FILE)
    draw_loss_curve(trained.metrics, curve_title, folder / CURVE_FILE, planned_steps=trained.planned_steps)


def keyed(config: C) -> C:
    """The settings that the result depends on.

    What it runs on changes no more than rounding, and what is saved on the way changes nothing: neither counts.
    The first weights, the encoder's or all, count by their content, as an input.
    """
    model = replace(config.model, encoder_weights=weights_kind(config.model.encoder_weights))
    if isinstance(config, RefinerConfig):
        config = replace(config, perceptual_weights="")
    return replace(config, model=model, start_from="", train=replace(config.train, **_NEUTRAL))


def settings_that_count(config: C) -> dict[str, Any]:
    """The settings of `keyed` as `config.json` has them: without those that do not count."""
    settings = asdict(keyed(config))
    settings["train"] = {name: value for name, value in settings["train"].items() if name not in _NEUTRAL}
    return settings


def named_settings(part: Part, config: C) -> dict[str, object]:
    """What a training's key is made of, by dotted names: its stage, its settings that count, its inputs."""
    return {
        "stage": f"{part.stage}, version {part.version}",
        **_dotted(settings_that_count(config)),
        **_dotted({"inputs": part.inputs}),
    }


def shards_record(workspace: Workspace) -> Record:
    """The record of the shards' index.

    Raises:
        MissingStageError: There are no finished shards.
    """
    return require_record(index_path(workspace), "shards build")


def stored_px(dataset: ShardDataset) -> int:
    """Side, in pixels, of the squares that the shards hold."""
    return int(dataset.shards[0].shape[-1])


def validation_set(workspace: Workspace) -> ShardDataset | None:
    """The val split, or None where it has no images."""
    return ShardDataset.open(workspace, "val") if shards_record(workspace).counts["val"] else None


def _dotted(values: Mapping[str, Any], at: str = "") -> dict[str, object]:
    """Every single value of nested ones, by its dotted name."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat.update(_dotted(value, f"{at}{name}.") if isinstance(value, Mapping) else {f"{at}{name}": value})
    return flat
