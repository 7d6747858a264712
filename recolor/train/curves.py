"""The picture of a training's losses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from recolor.train.checkpoint import Metric

_SMOOTHED_FRACTION = 50  # the thick line is a running mean over this part of the training


def draw_loss_curve(metrics: Sequence[Metric], title: str, path: Path) -> None:
    """Draws training and validation loss over the steps as a PNG. The same metrics give the same bytes."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps, losses = _series(metrics, "train")
    axes.plot(steps, losses, color="0.8", linewidth=0.8)
    window = max(1, len(losses) // _SMOOTHED_FRACTION)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.plot(steps[window - 1 :], smooth, color="tab:blue", label=f"train, mean of {window} steps")
    if any(split == "val" for _, split, _, _ in metrics):
        axes.plot(*_series(metrics, "val"), color="tab:orange", marker="o", markersize=3, label="val, averaged weights")
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _series(metrics: Sequence[Metric], split: str) -> tuple[np.ndarray, np.ndarray]:
    chosen = [(step, loss) for step, of_split, loss, _ in metrics if of_split == split]
    return np.array([step for step, _ in chosen]), np.array([loss for _, loss in chosen])
