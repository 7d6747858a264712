"""The one training loop. Everything random is a pure function of (seed, step), so that resuming is exact."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import deterministic
from tqdm import tqdm

from recolor.dataset import ShardDataset, batch_rows, batches, make_batch
from recolor.errors import TrainingError
from recolor.train.checkpoint import (
    Checkpoint,
    Metric,
    checkpoint_paths,
    keep_newest,
    newest_checkpoint,
    save_checkpoint,
)
from recolor.train.step import State, Training, fresh_state, loss_of, lr_at, one_step

LOG_STEPS = 10  # losses are read from the device this often
VALIDATION_IMAGES = 256  # at most so many, the first of the val split

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """The averaged model, and what was measured on the way."""

    model: nn.Module
    metrics: list[Metric]


def train(training: Training, train_set: ShardDataset, val_set: ShardDataset | None) -> Trained:
    """Trains, from the newest checkpoint if there is one, to the last step.

    Validation runs with the averaged weights, without augmentation, on the first images of the val split; where there
    is none, no validation loss is recorded and the log says so.

    Raises:
        TrainingError: The loss or the gradient is no longer finite.
    """
    if val_set is None:
        _log.warning("%s: the val split has no images; no validation loss will be measured", training.name)
    device = next(training.model.parameters()).device
    with _deterministic(device):
        state = _start(training)
        with _bar(training, state.step) as bar:
            for batch in batches(train_set, training.config, state.step, device):
                one_step(training, state, batch)
                _after_step(training, state, train_set, val_set, bar)
    keep_newest(training.checkpoints, 1)
    return Trained(state.ema.eval(), state.metrics)


def _start(training: Training) -> State:
    state = fresh_state(training)
    keep_newest(training.checkpoints, 2)
    checkpoint = newest_checkpoint(training.checkpoints, training.key)
    if checkpoint is not None:
        state.model.load_state_dict(checkpoint.model)
        state.ema.load_state_dict(checkpoint.ema)
        state.optimizer.load_state_dict(checkpoint.optimizer)
        state.step, state.metrics = checkpoint.step, list(checkpoint.metrics)
        _log.info("%s: going on from step %d", training.name, state.step)
    return state


def _after_step(
    training: Training, state: State, train_set: ShardDataset, val_set: ShardDataset | None, bar: Any
) -> None:
    config, last = training.config, state.step == training.config.steps
    checkpoint_due = last or state.step % config.checkpoint_steps == 0
    validation_due = last or state.step % config.validate_steps == 0
    if checkpoint_due or validation_due or state.step % LOG_STEPS == 0:
        _collect_losses(training, state, train_set)
        bar.set_postfix(loss=f"{state.metrics[-1][2]:.4f}", refresh=False)
    bar.update(config.batch_images)
    if validation_due and val_set is not None:
        loss = _validation_loss(training, state.ema, val_set)
        state.metrics.append((state.step, "val", loss, lr_at(state.step - 1, config)))
    if checkpoint_due:
        _save(training, state)


def _collect_losses(training: Training, state: State, train_set: ShardDataset) -> None:
    """Moves pending losses to the metrics.

    Raises:
        TrainingError: One is not finite.
    """
    values = torch.stack([value for _, value in state.pending]).cpu().tolist()
    for (step, _), (loss, norm) in zip(state.pending, values, strict=True):
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise _not_finite(training, train_set, step, f"loss {loss}, gradient norm {norm}")
        state.metrics.append((step + 1, "train", loss, lr_at(step, training.config)))
    state.pending.clear()


def _not_finite(training: Training, train_set: ShardDataset, step: int, what: str) -> TrainingError:
    config = training.config
    rows = batch_rows(train_set.rows, config.batch_images, config.seed, step)
    kept = checkpoint_paths(training.checkpoints)
    return TrainingError(
        f"{training.name}: {what} at step {step + 1}. Lower {training.name}.train.lr, or look at the images of the"
        f" step. Last good checkpoint: {kept[-1] if kept else 'none yet'}. Images: {', '.join(train_set.paths(rows))}."
    )


@torch.no_grad()
def _validation_loss(training: Training, model: nn.Module, val_set: ShardDataset) -> float:
    """Mean loss over the first images of the val split, cropped at their centre."""
    model.eval()
    device = next(model.parameters()).device
    count = min(val_set.rows, VALIDATION_IMAGES)
    total = 0.0
    for start in range(0, count, training.config.batch_images):
        rows = np.arange(start, min(start + training.config.batch_images, count))
        codes = torch.from_numpy(val_set.codes(rows)).to(device)
        batch = make_batch(codes, train=training.config, step=0, augment=False)
        total += loss_of(training, model, batch).item() * len(rows)
    return total / count


def _save(training: Training, state: State) -> None:
    model, ema, optimizer = state.model.state_dict(), state.ema.state_dict(), state.optimizer.state_dict()
    save_checkpoint(
        training.checkpoints, Checkpoint(training.key, state.step, model, ema, optimizer, list(state.metrics))
    )
    keep_newest(training.checkpoints, 2)


def _bar(training: Training, start_step: int) -> Any:
    images = training.config.batch_images
    return tqdm(
        total=training.config.steps * images,
        initial=start_step * images,
        desc=f"train {training.name}",
        unit=" images",
        disable=None,
        delay=1,
    )


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """On a CPU, only algorithms that give the same bits every time; on CUDA some have no such form.

    Without the filling of fresh memory, which finds reads of what was never written and costs a tenth of a step.
    """
    before = torch.are_deterministic_algorithms_enabled()
    filled = _filling(False)
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        _filling(filled)


def _filling(on: bool) -> bool:
    """Sets whether torch fills fresh memory in deterministic mode, and returns what was set before."""
    before: bool = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property that mypy misses
    deterministic.fill_uninitialized_memory = on  # type: ignore[attr-defined]  # as above
    return before
