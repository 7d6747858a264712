"""Checkpoint files: everything needed to resume a training exactly.

A file's name contains its step and the start of its SHA-256, so a damaged file is detected. Files are written
atomically: a process that is killed at any moment leaves only complete checkpoints. `step-*.pt` is from a training in
progress, `done-*.pt` from a finished one, without the state that only further steps would need.
"""

import hashlib
import io
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recolor.errors import TrainingError
from recolor.pipeline.storage import write_atomically
from recolor.training.metrics import Metric

VERSION = 2  # of the file's content; raise it when that changes
_NAME = re.compile(r"(step|done)-(\d{8,})-([0-9a-f]{16})\.pt")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The state of a training after `step` steps.

    Attributes:
        key: Key of the training.
        settings: Settings and inputs that make up the key, by dotted names.
        step: Number of steps done.
        model: State dict of the model; empty when done.
        ema: State dict of the averaged model (EMA); when done, of the exported model.
        optimizer: State dict of the optimiser; empty when done.
        metrics: Metrics so far.
        done: Whether the training is finished.
    """

    key: str
    settings: Mapping[str, object]
    step: int
    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    metrics: list[Metric]
    done: bool = False


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint atomically and returns its path."""
    buffer = io.BytesIO()
    content = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    torch.save({"version": VERSION, **content, "metrics": _packed(checkpoint.metrics)}, buffer)
    data = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    kind = "done" if checkpoint.done else "step"
    path = folder / f"{kind}-{checkpoint.step:08d}-{_short_hash(data)}.pt"
    write_atomically(path, data)
    return path


def valid_checkpoints(folder: Path) -> Iterator[tuple[Path, Checkpoint]]:
    """Yields the checkpoints in a folder, newest first; damaged ones are skipped with a warning.

    Yields:
        The path and the checkpoint, its tensors on the CPU.

    Raises:
        TrainingError: The version of a checkpoint is unknown to this version of Recolor.
    """
    for path in reversed(checkpoint_paths(folder)):
        if (checkpoint := read_checkpoint(path)) is not None:
            yield path, checkpoint
        else:
            _log.warning("%s: damaged; skipped", path)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Returns the checkpoint in a file; None if it is damaged.

    Raises:
        TrainingError: Its version is unknown to this version of Recolor.
    """
    data = path.read_bytes()
    name = _NAME.fullmatch(path.name)
    if name is None or name[3] != _short_hash(data):
        return None
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if (version := content.pop("version", None)) != VERSION:
        raise TrainingError(
            f"{path}: a checkpoint of version {version}, but this Recolor reads {VERSION}. Resume with the Recolor that"
            f" wrote it, or delete {path.parent} to train from the first step."
        )
    return Checkpoint(**{**content, "metrics": _unpacked(content["metrics"])})


def checkpoint_paths(folder: Path) -> list[Path]:
    """Returns the checkpoint files in a folder, oldest first; a finished training's is last."""
    names = [(match, path) for path in folder.glob("*.pt") if (match := _NAME.fullmatch(path.name))]
    return [path for match, path in sorted(names, key=lambda item: (int(item[0][2]), item[0][1] == "done", item[1]))]


def step_of(path: Path) -> int:
    """Returns the step in a checkpoint's file name."""
    name = _NAME.fullmatch(path.name)
    assert name is not None, path  # paths come from `checkpoint_paths`
    return int(name[2])


def keep_only(folder: Path, paths: Collection[Path]) -> None:
    """Deletes all other checkpoints, and temporary files of killed runs."""
    for path in [*checkpoint_paths(folder), *folder.glob(".*.tmp")]:
        if path not in paths:
            path.unlink(missing_ok=True)


def _packed(metrics: list[Metric]) -> dict[str, Tensor]:
    """Returns the metrics as columns.

    They are smaller and faster than tuples, and equal metrics give equal bytes.
    """
    return {
        "step": torch.tensor([metric[0] for metric in metrics], dtype=torch.int64),
        "val": torch.tensor([metric[1] == "val" for metric in metrics], dtype=torch.bool),
        "loss": torch.tensor([metric[2] for metric in metrics], dtype=torch.float64),
        "lr": torch.tensor([metric[3] for metric in metrics], dtype=torch.float64),
    }


def _unpacked(columns: Mapping[str, Tensor]) -> list[Metric]:
    splits = ["val" if val else "train" for val in columns["val"].tolist()]
    return list(zip(columns["step"].tolist(), splits, columns["loss"].tolist(), columns["lr"].tolist(), strict=True))


def _short_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
