"""Resuming from checkpoints: loading, saving, deleting old ones, and the final export."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from recolor.errors import DamagedError, TrainingError
from recolor.training.checkpoint import (
    Checkpoint,
    checkpoint_paths,
    keep_only,
    read_checkpoint,
    save_checkpoint,
    step_of,
    valid_checkpoints,
)
from recolor.training.distributed import is_main_process
from recolor.training.metrics import METRICS_SO_FAR, Metric, best_validation
from recolor.training.step import State, Training, fresh_state

_SHOWN = 8  # maximum number of differences in a message

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """The result of a training.

    Attributes:
        model: The model to export, with averaged weights (EMA). Valid in rank 0 only.
        metrics: All metrics.
        steps: Number of steps done; lower than `planned_steps` after an early stop.
        planned_steps: Number of steps in the settings.
        exported_step: Step of the exported weights.
    """

    model: nn.Module
    metrics: list[Metric]
    steps: int
    planned_steps: int
    exported_step: int


def resumed_state(training: Training) -> State:
    """Returns the state of the newest valid checkpoint, or a fresh state.

    With `patience`, a checkpoint is also skipped if the weights of its best validation cannot be read, because they
    may be the ones to export.

    Raises:
        TrainingError: The checkpoint is from another training or architecture, or its version is unknown.
    """
    state = fresh_state(training)
    for path, checkpoint in valid_checkpoints(training.checkpoints):
        _check_same(training, state, path, checkpoint)
        if checkpoint.done or not training.config.patience or _best_weights(training, checkpoint) is not None:
            _load(state, checkpoint)
            _log.info("%s: resuming from %s", training.name, path)
            break
        _log.warning("%s: skipped, because the checkpoint of its best validation is damaged or missing", path)
    return state


def save(training: Training, state: State) -> None:
    """Writes a checkpoint, then deletes those that are no longer needed."""
    saved = save_checkpoint(training.checkpoints, _checkpoint(training, state))
    paths = {step_of(path): path for path in checkpoint_paths(training.checkpoints) if step_of(path) < state.step}
    keep_only(training.checkpoints, _needed(training, state, {**paths, state.step: saved}))


def finish(training: Training, state: State) -> Trained:
    """Ends a training; one checkpoint with the exported weights remains.

    With it, running the same training again trains nothing.

    With `patience`, the exported weights are the averaged weights of the best validation, otherwise those of the last
    step.

    Raises:
        DamagedError: The checkpoint of the best validation has been damaged since it was written.
    """
    best = best_validation(state.metrics).metric
    exported_step = best[0] if training.config.patience and best else state.step
    if is_main_process():
        _leave_final_checkpoint(training, state, exported_step)
    return Trained(
        model=state.ema,
        metrics=state.metrics,
        steps=state.step,
        planned_steps=training.config.steps,
        exported_step=exported_step,
    )


def _leave_final_checkpoint(training: Training, state: State, exported_step: int) -> None:
    if not state.done:
        _export(training, state, exported_step)
    keep_only(training.checkpoints, checkpoint_paths(training.checkpoints)[-1:])
    (training.folder / METRICS_SO_FAR).unlink(missing_ok=True)


def _export(training: Training, state: State, exported_step: int) -> None:
    if exported_step < state.step:
        weights = _best_weights(training, _checkpoint(training, state))
        if weights is None:
            raise DamagedError(
                f"{training.checkpoints}: the checkpoint of step {exported_step}, the best validation, is damaged or"
                " missing. Run again to resume from an older one."
            )
        state.ema.load_state_dict(weights)
    path = save_checkpoint(training.checkpoints, _checkpoint(training, state, done=True))
    _log.info("%s: exported the weights of step %d; kept %s", training.name, exported_step, path)


def _checkpoint(training: Training, state: State, *, done: bool = False) -> Checkpoint:
    return Checkpoint(
        key=training.key,
        settings=dict(training.settings),
        step=state.step,
        model={} if done else state.model.state_dict(),
        ema=state.ema.state_dict(),
        optimizer={} if done else state.optimizer.state_dict(),
        metrics=list(state.metrics),
        done=done,
    )


def _load(state: State, checkpoint: Checkpoint) -> None:
    state.step, state.metrics, state.done = checkpoint.step, list(checkpoint.metrics), checkpoint.done
    state.ema.load_state_dict(checkpoint.ema)
    if not checkpoint.done:
        state.model.load_state_dict(checkpoint.model)
        state.optimizer.load_state_dict(dict(checkpoint.optimizer))


def _needed(training: Training, state: State, paths: Mapping[int, Path]) -> list[Path]:
    """Returns the newest checkpoints, and those of their best validations.

    Resuming needs both.
    """
    newest = sorted(paths)[-training.config.keep_checkpoints :]
    best = {_best_step([metric for metric in state.metrics if metric[0] <= step]) for step in newest}
    return [path for step, path in paths.items() if step in best.union(newest)]


def _best_step(metrics: list[Metric]) -> int | None:
    best = best_validation(metrics).metric
    return best[0] if best else None


def _best_weights(training: Training, checkpoint: Checkpoint) -> Mapping[str, Tensor] | None:
    """Returns the averaged weights of the best validation up to a checkpoint; None if damaged.

    Before the first validation, these are the checkpoint's own.
    """
    step = _best_step(checkpoint.metrics)
    if step is None or step == checkpoint.step:
        return checkpoint.ema
    for path in checkpoint_paths(training.checkpoints):
        if step_of(path) == step and (best := read_checkpoint(path)) is not None and best.key == training.key:
            return best.ema
    return None


def _check_same(training: Training, state: State, path: Path, checkpoint: Checkpoint) -> None:
    tensors = _differences(_shapes(checkpoint.ema), _shapes(state.ema.state_dict()))
    if checkpoint.key == training.key and not tensors:
        return
    settings = _differences(checkpoint.settings, training.settings)
    differing = [*settings, *tensors] or [f"key: {checkpoint.key} there, {training.key} here"]
    more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    raise TrainingError(
        f"{path}: a checkpoint of another training, so {training.name} cannot resume from it."
        f" {'; '.join(differing[:_SHOWN])}{more}. Move it elsewhere, or restore these settings, and run again."
    )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    return {name: "x".join(map(str, tensor.shape)) or "a number" for name, tensor in tensors.items()}


def _differences(there: Mapping[str, object], here: Mapping[str, object]) -> list[str]:
    names = [name for name in {**here, **there} if there.get(name) != here.get(name)]
    return [f"{name}: {there.get(name, 'nothing')} there, {here.get(name, 'nothing')} here" for name in names]
