"""Output files of a training: model, config, metrics and loss curve."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from recolor.config.settings import GeneratorConfig, RefinerConfig
from recolor.dataset.dataset import ShardDataset
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import TRAINING_METRICS
from recolor.models.files import save_model
from recolor.pipeline.cache import Part
from recolor.pipeline.workspace import Workspace
from recolor.training.metrics import draw_loss_curve, metrics_table
from recolor.training.parts import CURVE_FILE, METRICS_FILE, NOT_IN_KEY, key_settings, shards_record
from recolor.training.resume import Trained

C = TypeVar("C", GeneratorConfig, RefinerConfig)


def write_outputs(folder: Path, trained: Trained, config_json: Mapping[str, Any], curve_title: str) -> None:
    """Writes the files of a trained model; the same training gives the same bytes."""
    steps = {"steps_done": trained.steps, "exported_step": trained.exported_step}
    training = {**config_json["training"], **steps}
    save_model(folder, trained.model, {**config_json, "training": training})
    write_manifest(TRAINING_METRICS, metrics_table(trained.metrics), folder / METRICS_FILE)
    draw_loss_curve(trained.metrics, curve_title, folder / CURVE_FILE, planned_steps=trained.planned_steps)


def key_settings_dict(config: C) -> dict[str, Any]:
    """Returns the settings of `key_settings` as a dict for `config.json`.

    Settings that are not in the key are left out.
    """
    settings = asdict(key_settings(config))
    settings["train"] = {name: value for name, value in settings["train"].items() if name not in NOT_IN_KEY}
    return settings


def key_contents(part: Part, config: C) -> dict[str, object]:
    """Returns what a training's key is made of, by dotted names: its stage, settings and inputs."""
    return {
        "stage": f"{part.stage}, version {part.version}",
        **_dotted(key_settings_dict(config)),
        **_dotted({"inputs": part.inputs}),
    }


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
