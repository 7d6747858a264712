"""One photograph of any size: its own lightness at full resolution, with predicted colour."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from recolor.config import DeviceName
from recolor.errors import MissingStageError
from recolor.images import from_picture
from recolor.lab import lab_to_rgb, rgb_to_lab
from recolor.models.device import resolve_device
from recolor.models.files import CONFIG_FILE, LoadedGenerator, LoadedRefiner, load_generator, load_refiner

RGB = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

_MAX_ELONGATION = 4
_MIN_MODEL_SIDE_PX = 32
_MULTIPLE_PX = 8
_STRIP_PIXELS = 1 << 20


@dataclass(frozen=True, slots=True)
class Colorizer:
    """The two models, ready to colour.

    Attributes:
        generator: Predicts low-resolution colour.
        refiner: Brings it to the models' resolution.
        device: Where both are.
    """

    generator: LoadedGenerator
    refiner: LoadedRefiner
    device: torch.device

    @classmethod
    def from_folder(cls, models: Path, device: DeviceName = "auto") -> "Colorizer":
        """Loads `generator/` and `refiner/` of a folder such as `data/models`.

        Raises:
            MissingStageError: One of them is not there; names the stage to run.
            WeightsError: A file is damaged, or of a format unknown to this version.
            ConfigError: CUDA was asked for and is not there.
        """
        for name in ("generator", "refiner"):
            if not (models / name / CONFIG_FILE).is_file():
                raise MissingStageError(
                    f"{models / name}: no trained {name} there. Run `recolor train {name}` first, or give the folder"
                    " of other models with --models."
                )
        chosen = resolve_device(device)
        generator = load_generator(models / "generator", chosen)
        return cls(generator, load_refiner(models / "refiner", chosen), chosen)

    def colorize_image(self, picture: Image.Image) -> Image.Image:
        """Colours a picture of any size and mode.

        Args:
            picture: Its EXIF orientation is applied and its ICC profile converted; colour is reduced to lightness.

        Returns:
            Mode RGB, sRGB, upright, at full size.

        Raises:
            ImageError: Its pixels cannot be read.
        """
        return Image.fromarray(self.colorize_rgb(from_picture(picture)))

    def colorize_rgb(self, rgb: RGB) -> RGB:
        """Colours an image of any size, grey or not: only its lightness counts.

        Args:
            rgb: uint8 sRGB [H, W, 3].

        Returns:
            uint8 sRGB [H, W, 3] with the lightness of `rgb`, where the colour leaves room for it in the sRGB gamut.
        """
        L = _lightness(rgb)
        width_px, height_px = model_size(rgb.shape[1], rgb.shape[0], self.generator.image_px)
        ab = self.predict_ab(_resize(L, width_px, height_px))
        return _join(L, _resize(ab, rgb.shape[1], rgb.shape[0]))

    @torch.inference_mode()
    def predict_ab(self, L: Float32Array) -> Float32Array:
        """Runs both models.

        Args:
            L: Lightness [h, w], 0..100; h and w multiples of 8.

        Returns:
            ab [h, w, 2], float32, in Lab units.
        """
        batch = torch.from_numpy(L)[None, None].to(self.device)
        ab_small = self.generator.model.predict_ab(batch, self.generator.temperature)
        ab = self.refiner.model(batch, ab_small)
        return np.ascontiguousarray(ab[0].float().permute(1, 2, 0).cpu().numpy())


def model_size(width_px: int, height_px: int, image_px: int) -> tuple[int, int]:
    """The size at which colour is predicted: that of training, so that a photograph of every size gets the same.

    Both sides are multiples of 8; the long one is at most four times `image_px`, which longer panoramas are squeezed
    into.

    Args:
        width_px: Of the photograph.
        height_px: Of the photograph.
        image_px: Short side that whole images had in training.

    Returns:
        Width and height.
    """
    scale = min(image_px / min(width_px, height_px), _MAX_ELONGATION * image_px / max(width_px, height_px))
    width, height = (
        max(_MIN_MODEL_SIDE_PX, round(side * scale / _MULTIPLE_PX) * _MULTIPLE_PX) for side in (width_px, height_px)
    )
    return width, height


def _lightness(rgb: RGB) -> Float32Array:
    """L [H, W] of uint8 sRGB [H, W, 3], a strip at a time."""
    L = np.empty(rgb.shape[:2], np.float32)
    for strip in _strips(rgb.shape[0], rgb.shape[1]):
        L[strip] = rgb_to_lab(rgb[strip])[..., 0]
    return L


def _join(L: Float32Array, ab: Float32Array) -> RGB:
    """uint8 sRGB [H, W, 3] of L [H, W] and ab [H, W, 2], a strip at a time."""
    rgb = np.empty((*L.shape, 3), np.uint8)
    for strip in _strips(*L.shape):
        rgb[strip] = lab_to_rgb(np.dstack((L[strip], ab[strip])))
    return rgb


def _strips(height_px: int, width_px: int) -> Iterator[slice]:
    """Slices of rows of about a megapixel each: conversions take several times the memory of the image."""
    rows = max(1, _STRIP_PIXELS // width_px)
    return (slice(top, top + rows) for top in range(0, height_px, rows))


def _resize(image: Float32Array, width_px: int, height_px: int) -> Float32Array:
    """Area filter where it shrinks, bicubic where it grows; pixel centres aligned."""
    shrinks = width_px * height_px < image.shape[0] * image.shape[1]
    filter_kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=filter_kind), np.float32)
