"""The picture of a training's losses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recolor.training.metrics import Metric, standing

_SMOOTHED_FRACTION = 50  # the thick line is a running mean over this part of the training


def draw_loss_curve(metrics: Sequence[Metric], title: str, path: Path, *, planned_steps: int) -> None:
    """Draws training and validation loss over the steps as a PNG. The same metrics give the same bytes.

    Args:
        metrics: Of at least one step.
        title: Of the picture.
        path: Where it goes.
        planned_steps: How many were asked for: a training of fewer stopped early, and the picture says so.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps, losses = _series(metrics, "train")
    axes.plot(steps, losses, color="0.8", linewidth=0.8)
    window = max(1, len(losses) // _SMOOTHED_FRACTION)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.plot(steps[window - 1 :], smooth, color="tab:blue", label=f"train, mean of {window} steps")
    _draw_validation(axes, metrics)
    if steps[-1] < planned_steps:
        label = f"stopped early, at step {steps[-1]:,} of {planned_steps:,}"
        axes.axvline(steps[-1], color="tab:red", linestyle="--", linewidth=1, label=label)
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _draw_validation(axes: Axes, metrics: Sequence[Metric]) -> None:
    best = standing(metrics).best
    if best is None:
        return
    axes.plot(*_series(metrics, "val"), color="tab:orange", marker="o", markersize=3, label="val, averaged weights")
    label = f"least val: {best[2]:.4g} at step {best[0]:,}"
    axes.plot(best[0], best[2], color="black", marker="o", markersize=9, fillstyle="none", linestyle="", label=label)


def _series(metrics: Sequence[Metric], split: str) -> tuple[np.ndarray, np.ndarray]:
    chosen = [(step, loss) for step, of_split, loss, _ in metrics if of_split == split]
    return np.array([step for step, _ in chosen]), np.array([loss for _, loss in chosen])
