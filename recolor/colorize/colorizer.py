"""One photograph of any size: its own lightness at full resolution, with predicted colour."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from recolor.color.arrays import RGB
from recolor.color.gamut import BLOCK_PIXELS, grey_of, join, lightness_of, lightness_of_grey
from recolor.colorize.upsample import resize, upsample
from recolor.config.settings import ColorizeDevice
from recolor.errors import ConfigError, MissingStageError
from recolor.images import from_picture
from recolor.images.pillow import PILLOW_ERRORS
from recolor.models.device import resolve_device
from recolor.models.files import CONFIG_FILE, LoadedGenerator, LoadedRefiner, load_generator, load_refiner
from recolor.models.pretrained import models_folder
from recolor.pipeline.parallel import on_all_cores

Float32Array = NDArray[np.float32]

T = TypeVar("T")

_MAX_SATURATION = 100
_MAX_ELONGATION = 4
_MIN_MODEL_SIDE_PX = 32
_BATCH_PIXELS = 64 * 256 * 256  # of one run of the models: some gigabytes
_BATCH_PIXELS_ON_CPU = 4 * 256 * 256  # more are no faster there
_WITH_ALPHA = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa")  # those that Pillow can tell the alpha of


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a person may turn.

    Attributes:
        saturation: Multiplies a and b, 0 to 100; 0 is grey, 1 as predicted.
        temperature: T of the annealed mean, above 0, at most 1: lower is more vivid; None is the model's own.

    Raises:
        ConfigError: A value is outside of its range.

    Examples:
        >>> from recolor import Look
        >>> vivid = Look(saturation=1.3, temperature=0.3)
    """

    saturation: float = 1.0
    temperature: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.saturation <= _MAX_SATURATION:
            raise ConfigError(
                f"saturation = {self.saturation}: not allowed. Allowed: 0 (grey) to {_MAX_SATURATION}; 1 as predicted."
            )
        if self.temperature is not None and not 0 < self.temperature <= 1:
            raise ConfigError(f"temperature = {self.temperature}: not allowed. Allowed: above 0, at most 1.")


_AS_PREDICTED = Look()


@dataclass(frozen=True, slots=True)
class Colorizer:
    """The two models, ready to colour; any number of threads may share one.

    Attributes:
        generator: Predicts low-resolution colour.
        refiner: Brings it to the models' resolution.
        device: Where both are.

    Examples:
        >>> from PIL import Image
        >>> from recolor import Colorizer
        >>> colorizer = Colorizer.from_pretrained()
        >>> colored = colorizer(Image.open("old.jpg"))
    """

    generator: LoadedGenerator
    refiner: LoadedRefiner
    device: torch.device

    @classmethod
    def from_folder(cls, models: Path, device: ColorizeDevice = "auto") -> "Colorizer":
        """Loads `generator/` and `refiner/` of a folder such as `data/models`.

        Raises:
            MissingStageError: One of them is not there; names the stage to run.
            WeightsError: A file is damaged, or of a format unknown to this version.
            ConfigError: CUDA or MPS was asked for and is not there.
        """
        for name in ("generator", "refiner"):
            if not (models / name / CONFIG_FILE).is_file():
                raise MissingStageError(
                    f"{models / name}: no trained {name} there. Run `recolor train {name}` first, or give the folder"
                    " of other models with --model."
                )
        chosen = resolve_device(device)
        generator = load_generator(models / "generator", chosen)
        return cls(generator, load_refiner(models / "refiner", chosen), chosen)

    @classmethod
    def from_pretrained(cls, device: ColorizeDevice = "auto") -> "Colorizer":
        """Loads the models that come with the package; raises as `from_folder` does."""
        return cls.from_folder(models_folder(), device)

    def __call__(self, picture: Image.Image, look: Look = _AS_PREDICTED) -> Image.Image:
        """Colours a picture of any size and mode.

        Args:
            picture: Its EXIF orientation is applied and its ICC profile converted; colour is reduced to lightness.
            look: Saturation and temperature.

        Returns:
            sRGB, upright, at full size; mode RGB, or RGBA with the alpha of a picture that has some.

        Raises:
            ImageError: Its pixels cannot be read.
        """
        rgb, alpha = _read(picture)
        return _picture(self.colorize_rgb(rgb, look), alpha)

    def colorize_rgb(self, rgb: RGB, look: Look = _AS_PREDICTED) -> RGB:
        """Colours an image of any size, grey or not: only its lightness counts.

        Args:
            rgb: uint8 sRGB [H, W, 3].
            look: Saturation and temperature.

        Returns:
            uint8 sRGB [H, W, 3] with the lightness of `rgb`, see `recolor.color.gamut.join`.
        """
        L = lightness_of(rgb)
        return join(L, self.predict_colour(L, look))

    def colorize_batch(
        self, images: Sequence[Image.Image | RGB], look: Look = _AS_PREDICTED
    ) -> list[Image.Image | RGB]:
        """Colours images together: the models see those of one shape at once.

        Args:
            images: Pictures as `__call__` takes them, and uint8 sRGB [H, W, 3], of any sizes.
            look: Saturation and temperature.

        Returns:
            For each image what `__call__` or `colorize_rgb` gives, but for the last bits of the models' arithmetic.

        Raises:
            ImageError: The pixels of one cannot be read; none is coloured.
        """
        read = [_read(image) if isinstance(image, Image.Image) else (image, None) for image in images]
        each = _sharing_cores([rgb.shape for rgb, _ in read])
        lightnesses = each(lambda number: lightness_of(read[number][0]))
        colours = self.predict_colours(lightnesses, look)
        joined = each(lambda number: join(lightnesses[number], colours[number]))
        return [
            _picture(rgb, alpha) if isinstance(image, Image.Image) else rgb
            for image, rgb, (_, alpha) in zip(images, joined, read, strict=True)
        ]

    def predict_colour(self, L: Float32Array, look: Look = _AS_PREDICTED) -> Float32Array:
        """Colour of one photograph at full resolution: float32 [H, W] to [H, W, 2]; see `predict_colours`."""
        return self.predict_colours([L], look)[0]

    def predict_colours(self, lightnesses: Sequence[Float32Array], look: Look = _AS_PREDICTED) -> list[Float32Array]:
        """Colour of photographs at full resolution: predicted at the models' size, upsampled along edges.

        Args:
            lightnesses: float32 [H, W] each, of any sizes, 0..100.
            look: Saturation and temperature.

        Returns:
            float32 [H, W, 2] each: a and b in Lab units, which may lie outside of the sRGB gamut.
        """
        each = _sharing_cores([L.shape for L in lightnesses])
        small = each(lambda number: self.at_model_size(lightnesses[number]))
        ab: dict[int, Float32Array] = {}
        for numbers in _runs(small, _BATCH_PIXELS_ON_CPU if self.device.type == "cpu" else _BATCH_PIXELS):
            ab.update(zip(numbers, self.predict_ab(np.stack([small[number] for number in numbers]), look)))
        saturation = np.float32(look.saturation)
        return each(lambda number: upsample(ab[number] * saturation, small[number], lightnesses[number]))

    def at_model_size(self, L: Float32Array) -> Float32Array:
        """L [H, W] at the models' size, as a shard would hold it: the resizing is one of sRGB values, not of L."""
        width_px, height_px = model_size(L.shape[1], L.shape[0], self.generator.image_px, self.generator.multiple_px)
        if L.shape == (height_px, width_px):
            return L
        return lightness_of_grey(resize(grey_of(L), width_px, height_px).clip(0, 1))

    @torch.inference_mode()
    def predict_ab(self, L: Float32Array, look: Look = _AS_PREDICTED) -> Float32Array:
        """Runs both models, in float32 on every device, so that colours are the same everywhere.

        Args:
            L: [N, h, w], 0..100, at the models' size.
            look: Its temperature; the saturation is left to the caller.

        Returns:
            ab [N, h, w, 2], float32, in Lab units.
        """
        batch = torch.from_numpy(L)[:, None].to(self.device)
        ab = self.refiner.refine_ab(batch, self.generator.predict_ab(batch, look.temperature))
        return np.ascontiguousarray(ab.float().permute(0, 2, 3, 1).cpu().numpy())


def _runs(images: Sequence[Float32Array], most_pixels: int) -> Iterator[list[int]]:
    """The numbers of images of one shape, as many as the models take at once."""
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        groups[image.shape].append(number)
    for (height_px, width_px), numbers in groups.items():
        most = max(1, most_pixels // (height_px * width_px))
        for start in range(0, len(numbers), most):
            yield numbers[start : start + most]


def _sharing_cores(shapes: Sequence[tuple[int, ...]]) -> Callable[[Callable[[int], T]], list[T]]:
    """Calls a function with each image's number: small images at the same time, as large ones take all cores each."""
    small = all(shape[0] * shape[1] <= BLOCK_PIXELS for shape in shapes)
    numbers = range(len(shapes))
    return lambda function: on_all_cores(function, numbers) if small else [function(number) for number in numbers]


def _read(picture: Image.Image) -> tuple[RGB, NDArray[np.uint8] | None]:
    """Upright sRGB [H, W, 3] of a picture, and alpha [H, W] if it has any: then the colours are not laid on white.

    Raises:
        ImageError: Its pixels cannot be read.
    """
    rgb = from_picture(picture)
    if not picture.has_transparency_data or picture.mode not in _WITH_ALPHA:
        return rgb, None
    opaque = _upright(picture).convert("RGBA")
    return from_picture(opaque.convert("RGB")), np.array(opaque.getchannel("A"))


def _upright(picture: Image.Image) -> Image.Image:
    """The picture turned by its EXIF orientation; broken metadata counts as upright, as in `recolor.images`."""
    try:
        return ImageOps.exif_transpose(picture)
    except PILLOW_ERRORS:
        return picture


def _picture(rgb: RGB, alpha: NDArray[np.uint8] | None) -> Image.Image:
    return Image.fromarray(rgb if alpha is None else np.dstack((rgb, alpha)))


def model_size(width_px: int, height_px: int, image_px: int, multiple_px: int = 8) -> tuple[int, int]:
    """The size at which colour is predicted: that of training, so that a photograph of every size gets the same.

    The long side is at most four times `image_px`, which longer panoramas are squeezed into.

    Args:
        width_px: Of the photograph.
        height_px: Of the photograph.
        image_px: Short side that whole images had in training.
        multiple_px: Both sides are multiples of it.

    Returns:
        Width and height.
    """
    scale = min(image_px / min(width_px, height_px), _MAX_ELONGATION * image_px / max(width_px, height_px))
    least = max(_MIN_MODEL_SIDE_PX, multiple_px)
    width, height = (max(least, round(side * scale / multiple_px) * multiple_px) for side in (width_px, height_px))
    return width, height
