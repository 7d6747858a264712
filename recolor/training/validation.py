"""The validation loss."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recolor.dataset.augment import make_batch
from recolor.dataset.dataset import ShardDataset
from recolor.dataset.sampler import Int64Array
from recolor.training.distributed import own_share, summed
from recolor.training.nan_checks import check_validation
from recolor.training.step import State, Training, loss_of

VALIDATION_IMAGES = 256  # at most so many, the first of the val split


@torch.no_grad()
def validation_loss(training: Training, state: State, val_set: ShardDataset) -> float:
    """Mean loss of the averaged model over the first images of the val split, cropped at their centre.

    Several processes take turns with batches, and all come to the same bits.

    Raises:
        TrainingError: It is not finite.
    """
    count, size = min(val_set.rows, VALIDATION_IMAGES), training.config.batch_images
    chunks = [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
    losses = _losses(training, state.ema, val_set, chunks)
    for loss, rows in zip(losses, chunks, strict=True):
        check_validation(training, val_set, state.step, loss, rows)
    return sum(loss * len(rows) for loss, rows in zip(losses, chunks, strict=True)) / count


def _losses(
    training: Training, model: nn.Module, val_set: ShardDataset, chunks: Sequence[Int64Array]
) -> Sequence[float]:
    share, device = own_share(), next(model.parameters()).device
    losses = torch.zeros(len(chunks), device=device)
    for number in range(share.rank, len(chunks), share.of):
        losses[number] = _loss(training, model, val_set, chunks[number])
    values: list[float] = summed(losses).tolist()
    return values


def _loss(training: Training, model: nn.Module, val_set: ShardDataset, rows: Int64Array) -> Tensor:
    codes = torch.from_numpy(val_set.codes(rows)).to(next(model.parameters()).device)
    return loss_of(training, model, make_batch(codes, train=training.config, step=0, augment=False))
