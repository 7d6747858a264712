"""Checks for NaN and infinity, which stop a training before they reach a checkpoint."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from recolor.dataset.dataset import ShardDataset
from recolor.dataset.sampler import Int64Array, batch_rows
from recolor.errors import TrainingError
from recolor.training.checkpoint import checkpoint_paths, step_of
from recolor.training.step import State, Training


def check_step(training: Training, train_set: ShardDataset, step: int, loss: float, norm: float) -> None:
    """Checks that the loss and gradient norm of a step are finite.

    Args:
        training: The training, which the message names.
        train_set: Images of the train split.
        step: Number of the step, from 0.
        loss: Loss of the step's batch.
        norm: Norm of its gradient, before clipping.

    Raises:
        TrainingError: They are not finite; the message names the step, its images with their shards and rows, and the
            last checkpoint.
    """
    if not (math.isfinite(loss) and math.isfinite(norm)):
        rows = _rows_of_step(training, train_set, step)
        raise _not_finite(training, f"loss {loss}, gradient norm {norm}", step + 1, train_set, rows)


def check_validation(training: Training, val_set: ShardDataset, step: int, loss: float, rows: Int64Array) -> None:
    """Checks that the loss of a batch of the val split is finite.

    Raises:
        TrainingError: It is not; the message is like that of `check_step`.
    """
    if not math.isfinite(loss):
        raise _not_finite(training, f"validation loss {loss}", step, val_set, rows)


def check_state(training: Training, state: State, train_set: ShardDataset) -> None:
    """Checks that all weights, batch norm statistics and optimiser moments are finite.

    Statistics and moments may be infinite even if the loss and its gradient are finite.

    Raises:
        TrainingError: They are not; the message is like that of `check_step`.
    """
    extremes = [torch.stack(tensor.aminmax()) for tensor in _floats(state)]  # three times as fast as `isfinite` of each
    if not torch.stack(extremes).isfinite().all().item():
        what, rows = "weights, statistics or moments not finite", _rows_of_step(training, train_set, state.step - 1)
        raise _not_finite(training, what, state.step, train_set, rows)


def _floats(state: State) -> Iterator[Tensor]:
    yield from state.paired.current
    yield from state.paired.averaged
    for moments in state.optimizer.state.values():
        yield from (value for value in moments.values() if isinstance(value, Tensor))


def _rows_of_step(training: Training, train_set: ShardDataset, step: int) -> Int64Array:
    return batch_rows(train_set.rows, training.config.batch_images, training.config.seed, step)


def _not_finite(training: Training, what: str, step: int, dataset: ShardDataset, rows: Int64Array) -> TrainingError:
    good = [path for path in checkpoint_paths(training.checkpoints) if step_of(path) < step]
    return TrainingError(
        f"{training.name}: {what} at step {step}. Lower {training.name}.train.lr, or look at the images of the step."
        f" Last good checkpoint: {good[-1] if good else 'none yet'}. Images: {', '.join(dataset.places(rows))}."
    )
