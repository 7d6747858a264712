"""What is measured while training: a table of it, its file while it trains, and how validation stands."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import TRAINING_METRICS

METRICS_SO_FAR = "metrics_so_far.parquet"
_GROWTH = 0.01  # see `write_metrics_so_far`

Metric = tuple[int, str, float, float]  # step, split, loss, lr


@dataclass(frozen=True, slots=True)
class Standing:
    """How validation stands.

    Attributes:
        best: The validation with the least loss, the first of equal ones; None before the first.
        since: Validations after it.
    """

    best: Metric | None
    since: int


def standing(metrics: Sequence[Metric]) -> Standing:
    """How validation stands: a pure function of the metrics, so that a resumed training knows it to the bit."""
    validations = [metric for metric in metrics if metric[1] == "val"]
    if not validations:
        return Standing(None, 0)
    best = min(validations, key=lambda metric: metric[2])
    return Standing(best, len(validations) - 1 - validations.index(best))


def metrics_table(metrics: Sequence[Metric]) -> pa.Table:
    """The metrics in the columns of `schemas.TRAINING_METRICS`."""
    columns = list(zip(*metrics, strict=True)) or [()] * 4
    types = (pa.int64(), pa.string(), pa.float64(), pa.float64())
    names = ("step", "split", "loss", "lr")
    return pa.table({name: pa.array(values, type_) for name, values, type_ in zip(names, columns, types, strict=True)})


def write_metrics_so_far(folder: Path, metrics: Sequence[Metric], written_rows: int) -> int:
    """Writes `metrics_so_far.parquet` again, once the metrics have grown by a hundredth.

    Written whole each time; so the time that all writings take together grows as the training does, not as its square.
    A reader meets the old file or the new.

    Args:
        folder: Of the model; must exist.
        metrics: All so far.
        written_rows: How many of them the file has; 0 if it is not this training's.

    Returns:
        How many it has now.
    """
    if len(metrics) <= written_rows * (1 + _GROWTH):
        return written_rows
    temporary = folder / f".{METRICS_SO_FAR}.{os.getpid()}.tmp"  # not flushed: who loses power loses nothing by it
    write_manifest(TRAINING_METRICS, metrics_table(metrics), temporary)
    temporary.replace(folder / METRICS_SO_FAR)
    return len(metrics)
