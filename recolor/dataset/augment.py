"""From stored images to a training batch, on the device they are on: crop, mirror, resize, exposure, L and ab.

What is random is drawn for the batch of all processes and is a pure function of (seed, step, place in that batch).
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
    """One training batch, or a process's share of it; the tensors are float32, on the device.

    Attributes:
        L: [N, 1, C, C], 0..100.
        ab: [N, 2, C, C], Lab units.
        ab_small: [N, 2, C/4, C/4]: `ab` averaged over blocks of 4x4.
        positions: int64 [N], numpy: the places of its images in the batch of all processes.
        images: How many images that batch has.
    """

    L: Tensor
    ab: Tensor
    ab_small: Tensor
    positions: Int64Array
    images: int


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to each image of a batch; arrays of N.

    Attributes:
        top, left: Where the crop begins, as a share 0..1 of the room there is.
        flip: Whether it is mirrored left to right.
        light: Factor of the linear light.
    """

    top: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    flip: npt.NDArray[np.bool_]
    light: npt.NDArray[np.float32]


def draw_augmentation(positions: Int64Array, train: TrainConfig, step: int) -> Augmentation:
    """Draws what happens to the images at places of a step's batch: a pure function of (`train.seed`, `step`, place).

    Args:
        positions: int64 [N], from 0, in any order.
        train: `seed`, `flip` and `exposure` count here.
        step: From 0.
    """
    drawn = random_numbers(train.seed, AUGMENTATION, step).random((positions.max(initial=-1) + 1, 4))[positions]
    flip = (drawn[:, 2] < 0.5) & train.flip
    light = 1.0 + train.exposure * (2.0 * drawn[:, 3] - 1.0)
    return Augmentation(drawn[:, 0], drawn[:, 1], flip, light.astype(np.float32))


def draw_cut_px(stored_px: int, train: TrainConfig, step: int) -> int:
    """Side, in pixels, of the squares that a step cuts out: a pure function of (`train.seed`, `step`).

    Args:
        stored_px: Side of the stored squares.
        train: `crop_px`, `resized_crop` and `seed` count here.
        step: From 0.
    """
    if train.resized_crop == 1:
        return train.crop_px
    least_px = max(1, round(train.resized_crop * stored_px))
    return int(random_numbers(train.seed, CUT, step).integers(least_px, stored_px + 1))


def seen_px(stored_px: int, train: TrainConfig) -> int:
    """Short side, in pixels, that a whole image has as a training sees it: the stored one, or what it is resized to."""
    return stored_px if train.resized_crop == 1 else train.crop_px


def make_batch(codes: Tensor, *, train: TrainConfig, step: int, augment: bool, share: Share = WHOLE) -> Batch:
    """Cuts and converts stored images on the device they are on; nothing in a batch shares their memory.

    With `augment`: a random crop, half of the images mirrored, and their exposure varied (L and ab together; colour
    is what is learnt, so hues stay). Without: the centre crop, or with `resized_crop` the whole image, resized.

    Args:
        codes: uint8 codes or float16 Lab [N, 3, S, S], the share's images of the batch.
        train: `crop_px`, `resized_crop`, `seed`, `flip` and `exposure` count here.
        step: Of the training; with the seed, fixes what is random.
        augment: Whether anything is random.
        share: Which of the batch's images these are.

    Raises:
        ConfigError: The crop is larger than the stored squares.
    """
    crop_px, stored_px = train.crop_px, codes.shape[-1]
    if crop_px > stored_px:
        raise ConfigError(
            f"crop_px = {crop_px}: the shards' squares are {stored_px} px. Allowed: up to that, or run"
            " `recolor shards build` with a larger shard.size_px."
        )
    images = len(codes) * share.of
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
    """Copies a small array to a device; a CUDA device does not make the host wait, as it does for unpinned memory."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _crop(codes: Tensor, drawn: Augmentation, crop_px: int) -> Tensor:
    """Crops and mirrors in one gather: mirrored images read their columns backwards."""
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
    """Squares at another size, by a triangle filter as wide as the step between the new pixels."""
    if lab.shape[-1] == side_px:
        return lab
    return functional.interpolate(lab, size=(side_px, side_px), mode="bilinear", antialias=True)


def _split_lab(lab: Tensor, positions: Int64Array, images: int) -> Batch:
    ab = lab[:, 1:].contiguous()
    return Batch(lab[:, :1].contiguous(), ab, functional.avg_pool2d(ab, 4), positions, images)
