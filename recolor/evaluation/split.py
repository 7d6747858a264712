"""Images of a split as a source, coloured by every method at the training size."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recolor.color.gamut import join
from recolor.config.settings import EvaluateConfig, TrainConfig
from recolor.dataset.augment import Batch, make_batch
from recolor.dataset.dataset import ShardDataset
from recolor.dataset.sampler import Int64Array
from recolor.evaluation.measure import Sample, Source
from recolor.evaluation.methods import SATURATED, Method, Model
from recolor.models.refiner import upsample_ab
from recolor.pipeline.workspace import Workspace

Float32Array = NDArray[np.float32]

EVALUATION_PX = 224
_MEAN_AB_IMAGES = 2048
_BATCH_IMAGES = 8
_MULTIPLE_PX = 8


def split_source(workspace: Workspace, config: EvaluateConfig, models: Sequence[Model]) -> Source:
    """Returns the first `max_images` images of the split as a source.

    Raises:
        MissingStageError: The shards are missing.
        InputError: The split has no images, or the train split, which gives the mean colour, has none.
    """
    dataset = ShardDataset.open(workspace, config.split)
    rows = np.arange(min(dataset.rows, config.max_images), dtype=np.int64)
    mean_ab = train_mean_ab(ShardDataset.open(workspace, "train"))
    return Source(tuple(dataset.paths(rows)), partial(_samples, dataset, models, mean_ab))


@torch.inference_mode()
def colour(batch: Batch, models: Sequence[Model], mean_ab: Tensor) -> Iterator[tuple[Method, Tensor]]:
    """Yields the colours of a batch by every method.

    Args:
        batch: Images on the models' device.
        models: Models, and models that serve as controls.
        mean_ab: Mean a and b of the training images, [2].

    Yields:
        Methods and their ab, float32 [N, 2, C, C] in Lab units:

        - `grey`: no colour.
        - `mean_ab`: the mean colour for every pixel.
        - `generator`: a model's low-resolution ab, upsampled.
        - `refined`: the output of its refiner.
        - `saturated`: ab of a control model times 1.5.
        - `oracle`: the true low-resolution ab, upsampled. This is the best result of a generator without a refiner.
        - `oracle_refined`: the output of a model's refiner for the true low-resolution ab.

        For a control model, only the complete model and `saturated` are measured.
    """
    yield Method("", "grey", "control"), torch.zeros_like(batch.ab)
    yield Method("", "mean_ab", "control"), mean_ab.to(batch.ab).view(1, 2, 1, 1).expand_as(batch.ab)
    for model in models:
        yield from _by_model(batch, model)
    yield Method("", "oracle", "control"), upsample_ab(batch.ab_small)
    for model in models:
        if model.refiner and model.kind == "model":
            yield Method(model.label, "oracle_refined", "control"), model.refiner.refine_ab(batch.L, batch.ab_small)


def train_mean_ab(dataset: ShardDataset) -> Tensor:
    """Returns the mean a and b of up to 2,048 evenly spaced images, float32 [2] in Lab units."""
    rows = spaced_rows(dataset.rows, _MEAN_AB_IMAGES)
    total = torch.zeros(2, dtype=torch.float64)
    for _, batch in crops(dataset, rows, torch.device("cpu"), _MULTIPLE_PX):
        total += batch.ab.double().mean(dim=(2, 3)).sum(dim=0)
    return (total / len(rows)).float()


def spaced_rows(rows: int, count: int) -> Int64Array:
    """Returns at most `count` row numbers of `rows`, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, rows - 1, min(rows, count)).round().astype(np.int64))


def _by_model(batch: Batch, model: Model) -> Iterator[tuple[Method, Tensor]]:
    look = model.look
    ab_small = model.generator.predict_ab(
        batch.L, look.temperature, rebalanced=look.rebalanced, chroma_contrast=look.chroma_contrast
    )
    whole = look.saturation * (model.refiner.refine_ab(batch.L, ab_small) if model.refiner else upsample_ab(ab_small))
    if model.refiner and model.kind == "model":
        yield Method(model.label, "generator", "model"), look.saturation * upsample_ab(ab_small)
    yield model.whole, whole
    if model.kind == "control":
        yield Method(model.label, "saturated", "control"), SATURATED * whole


def _samples(
    dataset: ShardDataset, models: Sequence[Model], mean_ab: Tensor, rows: Int64Array
) -> Iterator[list[Sample]]:
    multiple_px = max(model.generator.multiple_px for model in models)  # each value is 8 times a power of two
    for paths, batch in crops(dataset, rows, models[0].device, multiple_px):
        methods = [(method, pixels(ab)) for method, ab in colour(batch, models, mean_ab)]
        L, truth_ab = pixels(batch.L)[..., 0], pixels(batch.ab)
        yield [
            Sample(path, join(L[i], truth_ab[i]), L[i], truth_ab[i], tuple((method, ab[i]) for method, ab in methods))
            for i, path in enumerate(paths)
        ]


def crops(
    dataset: ShardDataset, rows: Int64Array, device: torch.device, multiple_px: int
) -> Iterator[tuple[list[str], Batch]]:
    """Yields paths and batches of up to 8 images.

    Images are cropped to the central 224 px, or to the whole of a smaller square.
    """
    stored_px = dataset.codes(rows[:1]).shape[-1]
    crop = TrainConfig(crop_px=min(EVALUATION_PX, stored_px) // multiple_px * multiple_px)
    for start in range(0, len(rows), _BATCH_IMAGES):
        chunk = rows[start : start + _BATCH_IMAGES]
        codes = torch.from_numpy(dataset.codes(chunk)).to(device)
        yield dataset.paths(chunk), make_batch(codes, train=crop, step=0, augment=False)


def pixels(tensor: Tensor) -> Float32Array:
    """Converts a tensor [N, C, H, W] on any device to an array [N, H, W, C]."""
    return tensor.permute(0, 2, 3, 1).cpu().numpy()
