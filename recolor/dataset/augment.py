"""Makes training batches from stored images: crop, mirror, resize, exposure, L and ab.

Random numbers are drawn for the batch of all processes; they are a pure function of (seed, step, position in that
batch).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from recolor.color.lab_torch import decode_lab, scale_light
from recolor.config.settings import TrainConfig
from recolor.dataset.sampler import AUGMENTATION, CUT, WHOLE, Int64Array, Share, random_numbers
from recolor.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch, or a process's share of it. Tensors are float32, on the device.

    Attributes:
        L: [N, 1, C, C], 0..100.
        ab: [N, 2, C, C], Lab units.
        ab_small: [N, 2, C/4, C/4]: `ab` averaged over blocks of 4x4.
        positions: int64 [N], NumPy: positions of the images in the batch of all processes.
        images: Number of images in the batch of all processes.
    """

    L: Tensor
    ab: Tensor
    ab_small: Tensor
    positions: Int64Array
    images: int


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Augmentation of each image of a batch, as arrays [N].

    Attributes:
        top, left: Position of the crop, 0..1 of the possible range.
        flip: Whether the image is mirrored left to right.
        light: Factor applied to linear light.
    """

    top: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    flip: npt.NDArray[np.bool_]
    light: npt.NDArray[np.float32]


def draw_augmentation(positions: Int64Array, train: TrainConfig, step: int) -> Augmentation:
    """Draws the augmentation of images: a pure function of (`train.seed`, `step`, position).

    Args:
        positions: int64 [N], positions in the step's batch, from 0, in any order.
        train: Only `seed`, `flip` and `exposure` are used.
        step: Number of the step, from 0.
    """
    drawn = random_numbers(train.seed, AUGMENTATION, step).random((positions.max(initial=-1) + 1, 4))[positions]
    flip = (drawn[:, 2] < 0.5) & train.flip
    light = 1.0 + train.exposure * (2.0 * drawn[:, 3] - 1.0)
    return Augmentation(drawn[:, 0], drawn[:, 1], flip, light.astype(np.float32))


def draw_cut_px(stored_px: int, train: TrainConfig, step: int) -> int:
    """Draws the side of a step's crops, in pixels: a pure function of (`train.seed`, `step`).

    Args:
        stored_px: Side of the stored squares.
        train: Only `crop_px`, `resized_crop` and `seed` are used.
        step: Number of the step, from 0.
    """
    if train.resized_crop == 1:
        return train.crop_px
    least_px = max(1, round(train.resized_crop * stored_px))
    return int(random_numbers(train.seed, CUT, step).integers(least_px, stored_px + 1))


def seen_px(stored_px: int, train: TrainConfig) -> int:
    """Returns the short side of a whole image in training, in pixels: as stored, or `crop_px`."""
    return stored_px if train.resized_crop == 1 else train.crop_px


def make_batch(codes: Tensor, *, train: TrainConfig, step: int, augment: bool, share: Share = WHOLE) -> Batch:
    """Crops and converts stored images on their device; a batch shares no memory with them.

    With `augment`, crops are random, half of the images are mirrored, and the exposure varies: L and ab change
    together, so that hues, which the model learns, stay the same. Without it, the crop is the centre or, with
    `resized_crop`, the whole image, resized.

    Args:
        codes: uint8 codes or float16 Lab [N, 3, S, S]: the images of this process's share of the batch.
        train: Only `crop_px`, `resized_crop`, `seed`, `flip` and `exposure` are used.
        step: Number of the step; random numbers depend on it and the seed.
        augment: Whether to augment.
        share: Share of this process.

    Raises:
        ConfigError: The crop is larger than the stored squares.
    """
    crop_px, stored_px = train.crop_px, codes.shape[-1]
    if crop_px > stored_px:
        raise ConfigError(
            f"crop_px = {crop_px}: the shards' squares are {stored_px} px. Allowed: up to that, or run"
            " `recolor shards build` with a larger shard.size_px."
        )
    images = len(codes) * share.world_size
    positions = share.positions(images)
    if not augment:
        cut_px = crop_px if train.resized_crop == 1 else stored_px
        start = (stored_px - cut_px) // 2
        lab = to_lab(codes[:, :, start : start + cut_px, start : start + cut_px])
        return _split_lab(_resized(lab, crop_px), positions, images)
    drawn = draw_augmentation(positions, train, step)
    lab = _resized(to_lab(_crop(codes, drawn, draw_cut_px(stored_px, train, step))), crop_px)
    if train.exposure > 0:
        lab = scale_light(lab, to_device(drawn.light, lab.device))
    return _split_lab(lab, positions, images)


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Copies a small array to a device; on CUDA through pinned memory, without blocking the host."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _crop(codes: Tensor, drawn: Augmentation, crop_px: int) -> Tensor:
    """Crops and mirrors in one gather; the column indices of mirrored images are reversed."""
    choices = codes.shape[-1] - crop_px + 1
    along = np.arange(crop_px)
    rows = np.floor(drawn.top * choices).astype(np.int64)[:, None] + along
    left = np.floor(drawn.left * choices).astype(np.int64)[:, None]
    columns = left + np.where(drawn.flip[:, None], along[::-1], along)
    image = torch.arange(len(codes), device=codes.device).view(-1, 1, 1, 1)
    channel = torch.arange(3, device=codes.device).view(1, 3, 1, 1)
    row = to_device(rows, codes.device).view(-1, 1, crop_px, 1)
    column = to_device(columns, codes.device).view(-1, 1, 1, crop_px)
    return codes[image, channel, row, column]


def to_lab(stored: Tensor) -> Tensor:
    """Returns stored images [N, 3, H, W], uint8 codes or float16 Lab, as float32 Lab."""
    return decode_lab(stored) if stored.dtype == torch.uint8 else stored.float()


def _resized(lab: Tensor, side_px: int) -> Tensor:
    """Resizes squares bilinearly with antialiasing."""
    if lab.shape[-1] == side_px:
        return lab
    return functional.interpolate(lab, size=(side_px, side_px), mode="bilinear", antialias=True)


def _split_lab(lab: Tensor, positions: Int64Array, images: int) -> Batch:
    ab = lab[:, 1:].contiguous()
    return Batch(lab[:, :1].contiguous(), ab, functional.avg_pool2d(ab, 4), positions, images)
