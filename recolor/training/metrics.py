"""Metrics of a training: best validation, table, file during training, and loss curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import TRAINING_METRICS
from recolor.pipeline.storage import temporary_path

METRICS_SO_FAR = "metrics_so_far.parquet"
_GROWTH = 0.01  # see `write_metrics_so_far`
_SMOOTHED_FRACTION = 50  # the thick line is a running mean over 1/50 of the steps

Metric = tuple[int, str, float, float]  # step, split, loss, lr


@dataclass(frozen=True, slots=True)
class BestValidation:
    """The validation with the lowest loss.

    Attributes:
        metric: The best validation, the first one of equals; None before the first validation.
        since: Number of validations after it.
    """

    metric: Metric | None
    since: int


def best_validation(metrics: Sequence[Metric]) -> BestValidation:
    """Returns the best validation.

    It is a pure function of the metrics, so a resumed training gets the same result.
    """
    validations = [metric for metric in metrics if metric[1] == "val"]
    if not validations:
        return BestValidation(None, 0)
    best = min(validations, key=lambda metric: metric[2])
    return BestValidation(best, len(validations) - 1 - validations.index(best))


def metrics_table(metrics: Sequence[Metric]) -> pa.Table:
    """Returns the metrics as a table with the columns of `schemas.TRAINING_METRICS`."""
    columns = list(zip(*metrics, strict=True)) or [()] * 4
    types = (pa.int64(), pa.string(), pa.float64(), pa.float64())
    names = ("step", "split", "loss", "lr")
    return pa.table({name: pa.array(values, type_) for name, values, type_ in zip(names, columns, types, strict=True)})


def write_metrics_so_far(folder: Path, metrics: Sequence[Metric], written_rows: int) -> int:
    """Rewrites `metrics_so_far.parquet` if the metrics have grown by 1% since the last write.

    The file is written as a whole, so the total time of all writes grows linearly with the number of steps, not with
    its square. It is replaced atomically.

    Args:
        folder: Folder of the model; must exist.
        metrics: All metrics so far.
        written_rows: Number of metrics in the file; 0 if the file is another training's.

    Returns:
        The number of metrics now in the file.
    """
    if len(metrics) <= written_rows * (1 + _GROWTH):
        return written_rows
    temporary = temporary_path(folder / METRICS_SO_FAR)  # not flushed to disk: a checkpoint has the metrics too
    write_manifest(TRAINING_METRICS, metrics_table(metrics), temporary)
    temporary.replace(folder / METRICS_SO_FAR)
    return len(metrics)


def draw_loss_curve(metrics: Sequence[Metric], title: str, path: Path, *, planned_steps: int) -> None:
    """Plots training and validation loss as a PNG; the same metrics give the same bytes.

    Args:
        metrics: Metrics of at least one step.
        title: Title of the plot.
        path: Path of the PNG.
        planned_steps: Number of steps in the settings; if there are fewer, the plot marks the early stop.
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
    best = best_validation(metrics).metric
    if best is None:
        return
    axes.plot(*_series(metrics, "val"), color="tab:orange", marker="o", markersize=3, label="val, averaged weights")
    label = f"least val: {best[2]:.4g} at step {best[0]:,}"
    axes.plot(best[0], best[2], color="black", marker="o", markersize=9, fillstyle="none", linestyle="", label=label)


def _series(metrics: Sequence[Metric], split: str) -> tuple[np.ndarray, np.ndarray]:
    chosen = [(step, loss) for step, of_split, loss, _ in metrics if of_split == split]
    return np.array([step for step, _ in chosen]), np.array([loss for _, loss in chosen])
