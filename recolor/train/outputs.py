"""What a finished training leaves: the model, its config, its metrics and their picture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from recolor.config import GeneratorConfig, RefinerConfig
from recolor.dataset import ShardDataset
from recolor.manifest import write_manifest
from recolor.models.files import CONFIG_FILE, MODEL_FILE, save_model
from recolor.models.weights import weights_kind
from recolor.schemas import TRAINING_METRICS
from recolor.shard_format import index_path
from recolor.stage import Record, require_record
from recolor.train.checkpoint import Metric
from recolor.train.curves import draw_loss_curve
from recolor.train.loop import Trained
from recolor.workspace import Workspace

C = TypeVar("C", GeneratorConfig, RefinerConfig)

METRICS_FILE = "metrics.parquet"
CURVE_FILE = "loss_curve.png"


def model_outputs(folder: Path) -> tuple[Path, ...]:
    """The files of a trained model, in the order of its record."""
    return tuple(folder / name for name in (MODEL_FILE, CONFIG_FILE, METRICS_FILE, CURVE_FILE))


def write_outputs(folder: Path, trained: Trained, config_json: Mapping[str, Any], curve_title: str) -> None:
    """Writes all of them; the same training gives the same bytes."""
    save_model(folder, trained.model, config_json)
    write_manifest(TRAINING_METRICS, _metrics_table(trained.metrics), folder / METRICS_FILE)
    draw_loss_curve(trained.metrics, curve_title, folder / CURVE_FILE)


def keyed(config: C) -> C:
    """The settings that the result depends on.

    What it runs on changes no more than rounding, and what is saved on the way changes nothing: neither counts.
    The encoder's first weights count by their content, as an input.
    """
    model = replace(config.model, encoder_weights=weights_kind(config.model.encoder_weights))
    where = replace(config.train, device="auto", devices=1, compile=False, deterministic=False, resident="auto")
    train = replace(where, checkpoint_steps=1, keep_checkpoints=1, metrics_steps=1, tensorboard=False)
    return replace(config, model=model, train=train)


def shards_record(workspace: Workspace) -> Record:
    """The record of the shards' index.

    Raises:
        MissingStageError: There are no finished shards.
    """
    return require_record(index_path(workspace), "shard")


def stored_px(dataset: ShardDataset) -> int:
    """Side, in pixels, of the squares that the shards hold."""
    return int(dataset.shards[0].shape[-1])


def validation_set(workspace: Workspace) -> ShardDataset | None:
    """The val split, or None where it has no images."""
    return ShardDataset.open(workspace, "val") if shards_record(workspace).counts["val"] else None


def _metrics_table(metrics: Sequence[Metric]) -> pa.Table:
    columns = list(zip(*metrics, strict=True))
    types = (pa.int64(), pa.string(), pa.float64(), pa.float64())
    names = ("step", "split", "loss", "lr")
    return pa.table({name: pa.array(values, type_) for name, values, type_ in zip(names, columns, types, strict=True)})
