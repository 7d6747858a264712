"""The loss curve of a training as the points of an inline SVG, which takes the colours of the page."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from recolor.color.arrays import Floats
from recolor.errors import SchemaError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import TRAINING_METRICS

WIDTH_PX, HEIGHT_PX = 560, 250  # of the view box
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 48, 12, 10, 24  # margins, for the labels of the axes
_SMOOTHED_FRACTION = 50  # the training loss is a running mean over 1/50 of the steps
_MOST_POINTS = 300


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis, in pixels of the view box."""

    at_px: float
    label: str


@dataclass(frozen=True, slots=True)
class LossCurve:
    """A loss curve.

    Attributes:
        train, val: Points of the lines, as SVG writes them; `val` is empty without validations.
        best: Point of the lowest validation loss; None without validations.
        best_text: What it is, such as `0.42 at step 1,200`.
        window_steps: Number of steps that each point of `train` is the mean of.
        x_ticks, y_ticks: Steps and losses.
    """

    train: str
    val: str
    best: tuple[float, float] | None
    best_text: str
    window_steps: int
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def read_loss_curve(file: Path) -> LossCurve | None:
    """Returns the loss curve of a `metrics.parquet`; None if there is no such file, or it holds no training."""
    if not file.is_file():
        return None
    try:
        table = read_table(TRAINING_METRICS, file)
    except (SchemaError, pa.ArrowInvalid):
        return None
    splits = np.array(table["split"].to_pylist())
    steps, losses = (table[name].to_numpy().astype(np.float64) for name in ("step", "loss"))
    return loss_curve(*(values[splits == split] for split in ("train", "val") for values in (steps, losses)))


def loss_curve(steps: Floats, losses: Floats, val_steps: Floats, val_losses: Floats) -> LossCurve | None:
    """Returns the loss curve of a training; None before its first step.

    Args:
        steps: Steps of the training losses, ascending.
        losses: Training losses.
        val_steps: Steps of the validations, ascending.
        val_losses: Validation losses.
    """
    if not len(steps):
        return None
    window = max(1, len(losses) // _SMOOTHED_FRACTION)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    shown = np.unique(np.linspace(0, len(smooth) - 1, min(_MOST_POINTS, len(smooth))).round().astype(int))
    smooth, smooth_steps = smooth[shown], steps[window - 1 :][shown]
    values = np.concatenate([smooth, val_losses])
    low, high = float(values.min()), float(values.max())
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    last = float(max(steps[-1], 1.0))

    def x_px(step: Floats) -> Floats:
        return _LEFT_PX + step / last * (WIDTH_PX - _LEFT_PX - _RIGHT_PX)

    def y_px(loss: Floats) -> Floats:
        return _TOP_PX + (high - loss) / (high - low) * (HEIGHT_PX - _TOP_PX - _BOTTOM_PX)

    best = int(val_losses.argmin()) if len(val_losses) else None
    at = None if best is None else (float(x_px(val_steps)[best]), float(y_px(val_losses)[best]))
    return LossCurve(
        train=_points(x_px(smooth_steps), y_px(smooth)),
        val=_points(x_px(val_steps), y_px(val_losses)),
        best=at,
        best_text="" if best is None else f"{val_losses[best]:.4g} at step {val_steps[best]:,.0f}",
        window_steps=window,
        x_ticks=tuple(Tick(float(x_px(np.array(step))), f"{step:,.0f}") for step in ticks(0.0, last)),
        y_ticks=tuple(Tick(float(y_px(np.array(loss))), f"{loss:.4g}") for loss in ticks(low, high)),
    )


def ticks(low: float, high: float) -> list[float]:
    """Returns three to seven round numbers from `low` to `high`, evenly spaced by 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(base * power for base in (1, 2, 5, 10) if base * power >= rough * 0.7)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))
