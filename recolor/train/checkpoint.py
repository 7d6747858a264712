"""Checkpoints: everything that a training needs to go on as if nothing had happened.

A file's name carries its step and the start of its SHA-256, so that a damaged one is known by itself. It is written
under a temporary name, flushed and renamed: killed at any instant, the folder holds whole checkpoints only.
"""

import hashlib
import io
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recolor.storage import write_atomically

VERSION = 1
_NAME = re.compile(r"step-(\d{8})-([0-9a-f]{16})\.pt")

_log = logging.getLogger(__name__)

Metric = tuple[int, str, float, float]  # step, split, loss, lr


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a training after `step` steps.

    Attributes:
        key: Of the training: a checkpoint of another is never used.
        step: Steps done.
        model: State dict of the model.
        ema: State dict of the averaged model.
        optimizer: State dict of the optimiser.
        metrics: What was measured so far.
    """

    key: str
    step: int
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, Any]
    metrics: list[Metric]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint, atomically, and returns its path."""
    buffer = io.BytesIO()
    fields = ("key", "step", "model", "ema", "optimizer", "metrics")
    torch.save({"version": VERSION, **{name: getattr(checkpoint, name) for name in fields}}, buffer)
    data = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{checkpoint.step:08d}-{_short_hash(data)}.pt"
    write_atomically(path, data)
    return path


def newest_checkpoint(folder: Path, key: str) -> Checkpoint | None:
    """The newest checkpoint that is whole and of this key; others are passed over, with a warning.

    Returns:
        The checkpoint, its tensors on the CPU, or None.
    """
    for path in reversed(checkpoint_paths(folder)):
        checkpoint = _read(path)
        if checkpoint is not None and checkpoint.key == key:
            return checkpoint
        _log.warning("%s: damaged, or of another training; passed over", path)
    return None


def checkpoint_paths(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def keep_newest(folder: Path, count: int) -> None:
    """Deletes all but the newest `count` checkpoints, and what a killed run left half-written."""
    for path in [*checkpoint_paths(folder)[:-count], *folder.glob(".step-*.tmp")]:
        path.unlink(missing_ok=True)


def _read(path: Path) -> Checkpoint | None:
    data = path.read_bytes()
    name = _NAME.fullmatch(path.name)
    if name is None or name[2] != _short_hash(data):
        return None
    fields = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return Checkpoint(**fields) if fields.pop("version") == VERSION else None


def _short_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
