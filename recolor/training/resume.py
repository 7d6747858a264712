"""How a training goes on where it was: what it starts from, what it saves and keeps, what is left at its end."""

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
    whole_checkpoints,
)
from recolor.training.distributed import is_main_process
from recolor.training.metrics import METRICS_SO_FAR, Metric, standing
from recolor.training.step import State, Training, fresh_state

_SHOWN = 8  # differences in a message, at most

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a training has come to.

    Attributes:
        model: What is exported: averaged weights. Of several processes, the first one has them.
        metrics: What was measured on the way.
        steps: Steps done; fewer than were planned if it stopped early.
        planned_steps: Steps that were asked for.
        exported_step: The step that the exported weights are of.
    """

    model: nn.Module
    metrics: list[Metric]
    steps: int
    planned_steps: int
    exported_step: int


def resumed_state(training: Training) -> State:
    """The state to go on from: that of the newest checkpoint that is whole, or a fresh one.

    One whose best validation's weights cannot be read, though they may yet be exported, is passed over too.

    Raises:
        TrainingError: The checkpoint is of another training or architecture, or of an unknown version.
    """
    state = fresh_state(training)
    for path, checkpoint in whole_checkpoints(training.checkpoints):
        _check_same(training, state, path, checkpoint)
        if checkpoint.done or not training.config.patience or _best_weights(training, checkpoint) is not None:
            _load(state, checkpoint)
            _log.info("%s: going on from %s", training.name, path)
            break
        _log.warning("%s: passed over, as the checkpoint of its best validation is damaged or missing", path)
    return state


def save(training: Training, state: State) -> None:
    """Writes a checkpoint, and then deletes those that are no longer needed."""
    saved = save_checkpoint(training.checkpoints, _checkpoint(training, state))
    paths = {step_of(path): path for path in checkpoint_paths(training.checkpoints) if step_of(path) < state.step}
    keep_only(training.checkpoints, _needed(training, state, {**paths, state.step: saved}))


def finished(training: Training, state: State) -> Trained:
    """Ends a training: a checkpoint with the exported weights is left, which trains nothing again.

    With `patience`, the exported weights are the averaged ones of the best validation, else those of the last step.

    Raises:
        DamagedError: The checkpoint of the best validation has been damaged since it was written.
    """
    best = standing(state.metrics).best
    exported_step = best[0] if training.config.patience and best else state.step
    if is_main_process():
        _leave(training, state, exported_step)
    return Trained(
        model=state.ema,
        metrics=state.metrics,
        steps=state.step,
        planned_steps=training.config.steps,
        exported_step=exported_step,
    )


def _leave(training: Training, state: State, exported_step: int) -> None:
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
                " missing. Run again: the training goes on from an older one."
            )
        state.ema.load_state_dict(weights)
    path = save_checkpoint(training.checkpoints, _checkpoint(training, state, done=True))
    _log.info("%s: the weights of step %d are exported; %s is left", training.name, exported_step, path)


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
    """The newest checkpoints, and those of the validations that are the best as of each: it takes both to go on."""
    newest = sorted(paths)[-training.config.keep_checkpoints :]
    best = {_best_step([metric for metric in state.metrics if metric[0] <= step]) for step in newest}
    return [path for step, path in paths.items() if step in best.union(newest)]


def _best_step(metrics: list[Metric]) -> int | None:
    best = standing(metrics).best
    return best[0] if best else None


def _best_weights(training: Training, checkpoint: Checkpoint) -> Mapping[str, Tensor] | None:
    """The averaged weights of the best validation as of a checkpoint, its own before the first; None if damaged."""
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
        f"{path}: a checkpoint of another training, so {training.name} cannot go on from it."
        f" {'; '.join(differing[:_SHOWN])}{more}. Move it elsewhere, or set what it says, and run again."
    )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    return {name: "x".join(map(str, tensor.shape)) or "a number" for name, tensor in tensors.items()}


def _differences(there: Mapping[str, object], here: Mapping[str, object]) -> list[str]:
    names = [name for name in {**here, **there} if there.get(name) != here.get(name)]
    return [f"{name}: {there.get(name, 'nothing')} there, {here.get(name, 'nothing')} here" for name in names]
