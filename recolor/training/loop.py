"""The training loop of both models.

All random numbers are pure functions of (seed, step), so resuming is exact.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recolor.dataset.augment import make_batch
from recolor.dataset.dataset import ShardDataset
from recolor.dataset.loader import batches
from recolor.dataset.sampler import Int64Array
from recolor.errors import OutOfMemoryError
from recolor.training.checks import check_compiler
from recolor.training.determinism import chosen_algorithms
from recolor.training.distributed import all_reduce_mean, all_reduce_sum, batch_share, is_main_process
from recolor.training.metrics import best_validation
from recolor.training.nan_checks import check_state, check_step, check_validation
from recolor.training.progress import Progress
from recolor.training.resume import Trained, finish, resumed_state, save
from recolor.training.step import State, Training, loss_of, lr_at, one_step

LOG_STEPS = 10  # losses are read from the device every N steps
VALIDATION_IMAGES = 256  # maximum number; the first images of the val split
_CPU_OUT_OF_MEMORY = "can't allocate memory"  # in the RuntimeError of torch's CPU allocator

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Run:
    """A training in progress: its definition, data, state and progress display."""

    training: Training
    state: State
    train_set: ShardDataset
    val_set: ShardDataset | None
    progress: Progress


def train(training: Training, train_set: ShardDataset, val_set: ShardDataset | None) -> Trained:
    """Trains to the last step or an early stop, resuming from the newest checkpoint if any.

    Validation uses the averaged weights (EMA), without augmentation, on the first images of the val split. Without a
    val split no validation loss is recorded; a warning is logged.

    Args:
        training: The model, its loss and settings.
        train_set: Images of the train split.
        val_set: Images of the val split; required for `patience`.

    Raises:
        ConfigError: Compiling, or keeping the data on the GPU, was requested but is not possible.
        TrainingError: The loss or the gradient is no longer finite, or the checkpoint is not this training's.
        DamagedError: A shard, or the checkpoint of the best validation, has changed since it was opened or written.
        OutOfMemoryError: The device has too little memory for a step.
    """
    if val_set is None:
        _log.warning("%s: the val split has no images; no validation loss will be measured", training.name)
    device = next(training.model.parameters()).device
    with chosen_algorithms(training.config, device), _out_of_memory_errors(training):
        state = resumed_state(training)
        if not state.done:
            _run_steps(training, state, train_set, val_set, device)
        return finish(training, state)


def _run_steps(
    training: Training, state: State, train_set: ShardDataset, val_set: ShardDataset | None, device: torch.device
) -> None:
    if training.config.compile:
        check_compiler(training.name, device)
    feed = batches(train_set, training.config, state.step, device, batch_share())
    with Progress(training, state) as progress, closing(feed):
        run = _Run(training, state, train_set, val_set, progress)
        while not _is_over(run):
            one_step(training, state, next(feed))
            _after_step(run)
        check_state(training, state, train_set)
        _check_shards(run)


def _check_shards(run: _Run) -> None:
    """Raises DamagedError if a shard has changed: nothing learnt from it reaches a checkpoint."""
    run.train_set.check_unchanged()
    if run.val_set is not None:
        run.val_set.check_unchanged()


def _is_over(run: _Run) -> bool:
    config, state = run.training.config, run.state
    if state.step == config.steps:
        return True
    validated = state.step > 0 and state.step % config.validate_steps == 0
    return validated and 0 < config.patience <= best_validation(state.metrics).since


def _after_step(run: _Run) -> None:
    """Reads losses, validates, reports and saves when due; losses are read before each save."""
    config, step = run.training.config, run.state.step
    validation_due = step % config.validate_steps == 0 or step == config.steps
    checkpoint_due, metrics_due = step % config.checkpoint_steps == 0, step % config.metrics_steps == 0
    run.progress.advance()
    if not (validation_due or checkpoint_due or metrics_due or step % LOG_STEPS == 0):
        return
    _collect_losses(run)
    improved = validation_due and run.val_set is not None and _validate(run, run.val_set)
    run.progress.show_metrics()
    if metrics_due:
        run.progress.write_metrics()
    if checkpoint_due or improved:
        check_state(run.training, run.state, run.train_set)
        _check_shards(run)
        run.progress.flush()
        if is_main_process():
            save(run.training, run.state)


def _collect_losses(run: _Run) -> None:
    """Moves the pending losses from the device to the metrics.

    Raises:
        TrainingError: A loss or gradient norm is not finite.
    """
    state = run.state
    values = all_reduce_mean(torch.stack([value for _, value in state.pending])).tolist()
    for (step, _), (loss, norm) in zip(state.pending, values, strict=True):
        check_step(run.training, run.train_set, step, loss, norm)
        state.metrics.append((step + 1, "train", loss, lr_at(step, run.training.config)))
    state.pending.clear()


def _validate(run: _Run, val_set: ShardDataset) -> bool:
    """Adds the validation loss to the metrics and returns whether it is the lowest so far."""
    training, state = run.training, run.state
    loss = validation_loss(training, state, val_set)
    state.metrics.append((state.step, "val", loss, lr_at(state.step - 1, training.config)))
    since = best_validation(state.metrics).since
    _log.info(
        "%s: step %d of %d, validation loss %.4f%s",
        training.name,
        state.step,
        training.config.steps,
        loss,
        ", the lowest so far" if since == 0 else f"; {since} validations since the lowest",
    )
    return since == 0


@torch.no_grad()
def validation_loss(training: Training, state: State, val_set: ShardDataset) -> float:
    """Returns the mean loss of the averaged model over the first images of the val split.

    Images are cropped at their centre.

    Several processes take turns with the batches; all return the same bits.

    Raises:
        TrainingError: The loss is not finite.
    """
    count, size = min(val_set.rows, VALIDATION_IMAGES), training.config.batch_images
    chunks = [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
    losses = _validation_losses(training, state.ema, val_set, chunks)
    for loss, rows in zip(losses, chunks, strict=True):
        check_validation(training, val_set, state.step, loss, rows)
    return sum(loss * len(rows) for loss, rows in zip(losses, chunks, strict=True)) / count


def _validation_losses(
    training: Training, model: nn.Module, val_set: ShardDataset, chunks: Sequence[Int64Array]
) -> Sequence[float]:
    share, device = batch_share(), next(model.parameters()).device
    losses = torch.zeros(len(chunks), device=device)
    for number in range(share.rank, len(chunks), share.world_size):
        losses[number] = _loss_of_rows(training, model, val_set, chunks[number])
    values: list[float] = all_reduce_sum(losses).tolist()
    return values


def _loss_of_rows(training: Training, model: nn.Module, val_set: ShardDataset, rows: Int64Array) -> Tensor:
    codes = torch.from_numpy(val_set.codes(rows)).to(next(model.parameters()).device)
    return loss_of(training, model, make_batch(codes, train=training.config, step=0, augment=False))


@contextmanager
def _out_of_memory_errors(training: Training) -> Iterator[None]:
    """Raises OutOfMemoryError, with advice, if device or host runs out of memory in the block."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and _CPU_OUT_OF_MEMORY not in str(error):
            raise
        name, config = training.name, training.config
        raise OutOfMemoryError(
            f"{name}: there is not enough memory for steps of {config.batch_images} images of {config.crop_px} px. Free"
            f" some and run again to resume from the newest checkpoint; or share each batch among several devices"
            f" ({name}.train.devices); or lower {name}.train.batch_images, which starts a new training."
        ) from error
