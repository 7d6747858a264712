"""What is measured: the models, and the controls without which their numbers mean nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from recolor.augment import Batch, make_batch
from recolor.config import TrainConfig
from recolor.dataset import ShardDataset
from recolor.models.files import LoadedGenerator, LoadedRefiner, load_generator, load_refiner
from recolor.models.refiner import upsample_ab
from recolor.order import Int64Array

Name = Literal["grey", "mean_ab", "generator", "refined", "oracle", "oracle_refined"]
Kind = Literal["model", "control"]
NAMES: tuple[Name, ...] = get_args(Name)

EVALUATION_PX = 224
_MEAN_AB_IMAGES = 2048
_BATCH_IMAGES = 8


@dataclass(frozen=True, slots=True)
class Models:
    """The two trained models, ready to colour, and the device they are on."""

    generator: LoadedGenerator
    refiner: LoadedRefiner
    device: torch.device


def load_models(folder: Path, device: torch.device) -> Models:
    """Loads both models from `data/models`.

    Raises:
        WeightsError: A file is missing or damaged, or of a format unknown to this version.
    """
    return Models(load_generator(folder / "generator", device), load_refiner(folder / "refiner", device), device)


def kind_of(name: Name) -> Kind:
    """Whether a name is that of a model; `oracle_refined` is none, since it is shown the truth."""
    return "model" if name in {"generator", "refined"} else "control"


@torch.inference_mode()
def colour(batch: Batch, models: Models, mean_ab: Tensor) -> Iterator[tuple[Name, Tensor]]:
    """Colours a batch in every way, in the order of `NAMES`.

    Args:
        batch: Images on the models' device.
        models: The trained models.
        mean_ab: [2], the mean a and b of the training images.

    Yields:
        Name and float32 ab [N, 2, C, C] in Lab units:
        `grey` no colour; `mean_ab` the same colour everywhere; `generator` its low-resolution ab, upsampled;
        `refined` the refiner on the generator's ab; `oracle` the true low-resolution ab, upsampled: the most that
        any generator can reach without a refiner; `oracle_refined` the refiner on the true low-resolution ab.
    """
    generated = models.generator.predict_ab(batch.L)
    yield "grey", torch.zeros_like(batch.ab)
    yield "mean_ab", mean_ab.to(batch.ab).view(1, 2, 1, 1).expand_as(batch.ab)
    yield "generator", upsample_ab(generated)
    yield "refined", models.refiner.model(batch.L, generated)
    yield "oracle", upsample_ab(batch.ab_small)
    yield "oracle_refined", models.refiner.model(batch.L, batch.ab_small)


def batches_of(dataset: ShardDataset, rows: Int64Array, device: torch.device) -> Iterator[tuple[list[str], Batch]]:
    """Paths and batches of a few images each: the centre of the stored squares, 224 px (or all of it, if smaller)."""
    stored_px = dataset.codes(rows[:1]).shape[-1]
    crop = TrainConfig(crop_px=min(EVALUATION_PX, stored_px // 8 * 8))
    for chunk in _chunks(rows):
        codes = torch.from_numpy(dataset.codes(chunk)).to(device)
        yield dataset.paths(chunk), make_batch(codes, train=crop, step=0, augment=False)


def train_mean_ab(dataset: ShardDataset) -> Tensor:
    """The mean a and b, float32 [2] in Lab units, of up to 2,048 evenly spaced images of a data set."""
    rows = spaced_rows(dataset.rows, _MEAN_AB_IMAGES)
    total = torch.zeros(2, dtype=torch.float64)
    for _, batch in batches_of(dataset, rows, torch.device("cpu")):
        total += batch.ab.double().mean(dim=(2, 3)).sum(dim=0)
    return (total / len(rows)).float()


def spaced_rows(rows: int, count: int) -> Int64Array:
    """At most `count` row numbers of `rows`, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, rows - 1, min(rows, count)).round().astype(np.int64))


def _chunks(rows: Int64Array) -> list[Int64Array]:
    return [rows[start : start + _BATCH_IMAGES] for start in range(0, len(rows), _BATCH_IMAGES)]
