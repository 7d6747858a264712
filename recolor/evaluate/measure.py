"""Colouring the images of a split in every way, a few at a time, and measuring each against the photograph."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from recolor.augment import Batch
from recolor.dataset import ShardDataset
from recolor.evaluate.controls import NAMES, Models, Name, batches_of, colour
from recolor.evaluate.metrics import ImageMetrics, SetMetrics, image_metrics, set_metrics
from recolor.lab import lab_to_rgb
from recolor.order import Int64Array

RGB = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Score:
    """One image, coloured in one way, measured."""

    path: str
    name: Name
    metrics: ImageMetrics


@dataclass(frozen=True, slots=True)
class _Coloured:
    """One image of a batch: L [H, W, 1] and its ab [H, W, 2] by the truth and in one way."""

    path: str
    name: Name
    L: Float32Array
    ab: Float32Array
    truth_ab: Float32Array


def measure(dataset: ShardDataset, rows: Int64Array, models: Models, mean_ab: Tensor, workers: int) -> list[Score]:
    """Scores of every row in every way of `NAMES`, image by image; memory holds a batch, whatever the rows.

    Args:
        dataset: The split.
        rows: Which of its images.
        models: The trained models.
        mean_ab: [2], for the control `mean_ab`.
        workers: Threads that measure while the device colours.
    """
    scores: list[Score] = []
    bar = tqdm(total=len(rows), desc="evaluate", unit=" images", disable=None, delay=1)
    with ThreadPoolExecutor(workers) as pool, bar:
        for paths, batch in batches_of(dataset, rows, models.device):
            scores += pool.map(_score, _coloured(paths, batch, models, mean_ab))
            bar.update(len(paths))
    order = {path: position for position, path in enumerate(dataset.paths(rows))}
    return sorted(scores, key=lambda score: (order[score.path], NAMES.index(score.name)))


def summarise(scores: Sequence[Score]) -> list[tuple[Name, SetMetrics]]:
    """The metrics of each way over all images, in the order of `NAMES`."""
    return [(name, set_metrics([score.metrics for score in scores if score.name == name])) for name in NAMES]


def draw(dataset: ShardDataset, rows: Int64Array, models: Models) -> Iterator[tuple[RGB, RGB, RGB, RGB]]:
    """Colours a few rows again, to be looked at: grey, generator, refined and truth of each, uint8 [H, W, 3]."""
    for _, batch in batches_of(dataset, rows, models.device):
        ways = dict(colour(batch, models, torch.zeros(2)))
        shown = (ways["grey"], ways["generator"], ways["refined"], batch.ab)
        yield from zip(*(_render_all(batch.L, ab) for ab in shown), strict=True)


def _coloured(paths: Sequence[str], batch: Batch, models: Models, mean_ab: Tensor) -> Iterator[_Coloured]:
    L, truth_ab = _pixels(batch.L), _pixels(batch.ab)
    for name, ab in colour(batch, models, mean_ab):
        for parts in zip(paths, L, _pixels(ab), truth_ab, strict=True):
            path, one_L, one_ab, one_truth = parts
            yield _Coloured(path, name, one_L, one_ab, one_truth)


def _score(image: _Coloured) -> Score:
    rgb, truth = _render(image.L, image.ab), _render(image.L, image.truth_ab)
    return Score(image.path, image.name, image_metrics(rgb, truth, image.ab, image.truth_ab))


def _pixels(tensor: Tensor) -> Float32Array:
    """[N, C, H, W] on any device to [N, H, W, C]."""
    return tensor.permute(0, 2, 3, 1).cpu().numpy()


def _render_all(L: Tensor, ab: Tensor) -> list[RGB]:
    return [_render(one_L, one_ab) for one_L, one_ab in zip(_pixels(L), _pixels(ab), strict=True)]


def _render(L: Float32Array, ab: Float32Array) -> RGB:
    return lab_to_rgb(np.concatenate((L, ab), axis=-1))
