"""The one training loop. Everything random is a pure function of (seed, step), so that resuming is exact."""

import logging
from contextlib import closing
from dataclasses import dataclass

import torch

from recolor.dataset.dataset import ShardDataset
from recolor.dataset.loader import batches
from recolor.training.checks import check_compiler
from recolor.training.determinism import chosen_algorithms
from recolor.training.distributed import averaged, is_main_process, own_share
from recolor.training.memory import memory_errors
from recolor.training.metrics import standing
from recolor.training.nan_checks import check_state, check_step
from recolor.training.progress import Progress
from recolor.training.resume import Trained, finished, resumed_state, save
from recolor.training.step import State, Training, lr_at, one_step
from recolor.training.validation import validation_loss

LOG_STEPS = 10  # losses are read from the device this often

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Run:
    """A training under way: what is trained, on what, and where it stands."""

    training: Training
    state: State
    train_set: ShardDataset
    val_set: ShardDataset | None
    progress: Progress


def train(training: Training, train_set: ShardDataset, val_set: ShardDataset | None) -> Trained:
    """Trains, from the newest checkpoint if there is one, to the last step or until validation has lost patience.

    Validation runs with the averaged weights, without augmentation, on the first images of the val split; where there
    is none, no validation loss is recorded and the log says so.

    Args:
        training: What, and how.
        train_set: Its images.
        val_set: Images to validate on; needed for `patience`.

    Raises:
        ConfigError: It is to be compiled, or its data to be kept on the GPU, and that cannot be.
        TrainingError: The loss or the gradient is no longer finite, or the checkpoint is not this training's.
        DamagedError: A shard, or the checkpoint of the best validation, was changed in the meantime.
        OutOfMemoryError: The device has too little memory for a step.
    """
    if val_set is None:
        _log.warning("%s: the val split has no images; no validation loss will be measured", training.name)
    device = next(training.model.parameters()).device
    with chosen_algorithms(training.config, device), memory_errors(training):
        state = resumed_state(training)
        if not state.done:
            _go_on(training, state, train_set, val_set, device)
        return finished(training, state)


def _go_on(
    training: Training, state: State, train_set: ShardDataset, val_set: ShardDataset | None, device: torch.device
) -> None:
    if training.config.compile:
        check_compiler(training.name, device)
    feed = batches(train_set, training.config, state.step, device, own_share())
    with Progress(training, state) as progress, closing(feed):
        run = _Run(training, state, train_set, val_set, progress)
        while not _is_over(run):
            one_step(training, state, next(feed))
            _after_step(run)
        check_state(training, state, train_set)
        _check_shards(run)


def _check_shards(run: _Run) -> None:
    """Nothing that was learnt from shards which have changed reaches a checkpoint."""
    run.train_set.check_unchanged()
    if run.val_set is not None:
        run.val_set.check_unchanged()


def _is_over(run: _Run) -> bool:
    config, state = run.training.config, run.state
    if state.step == config.steps:
        return True
    validated = state.step > 0 and state.step % config.validate_steps == 0
    return validated and 0 < config.patience <= standing(state.metrics).since


def _after_step(run: _Run) -> None:
    """Reads losses, validates, saves and shows, as each is due: nothing is saved whose loss has not been read."""
    config, step = run.training.config, run.state.step
    validation_due = step % config.validate_steps == 0 or step == config.steps
    checkpoint_due, metrics_due = step % config.checkpoint_steps == 0, step % config.metrics_steps == 0
    run.progress.advance()
    if not (validation_due or checkpoint_due or metrics_due or step % LOG_STEPS == 0):
        return
    _collect_losses(run)
    improved = validation_due and run.val_set is not None and _validate(run, run.val_set)
    run.progress.tell()
    if metrics_due:
        run.progress.write()
    if checkpoint_due or improved:
        check_state(run.training, run.state, run.train_set)
        _check_shards(run)
        run.progress.flush()
        if is_main_process():
            save(run.training, run.state)


def _collect_losses(run: _Run) -> None:
    """Moves pending losses to the metrics.

    Raises:
        TrainingError: One is not finite.
    """
    state = run.state
    values = averaged(torch.stack([value for _, value in state.pending])).tolist()
    for (step, _), (loss, norm) in zip(state.pending, values, strict=True):
        check_step(run.training, run.train_set, step, loss, norm)
        state.metrics.append((step + 1, "train", loss, lr_at(step, run.training.config)))
    state.pending.clear()


def _validate(run: _Run, val_set: ShardDataset) -> bool:
    """Adds the validation loss to the metrics, and says whether it is the least so far."""
    training, state = run.training, run.state
    loss = validation_loss(training, state, val_set)
    state.metrics.append((state.step, "val", loss, lr_at(state.step - 1, training.config)))
    since = standing(state.metrics).since
    _log.info(
        "%s: step %d of %d, validation loss %.4f%s",
        training.name,
        state.step,
        training.config.steps,
        loss,
        ", the least so far" if since == 0 else f"; {since} validations since the least",
    )
    return since == 0
