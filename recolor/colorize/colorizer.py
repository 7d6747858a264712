"""Colours photographs of any size: their lightness at full resolution, predicted colour."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from recolor.color.arrays import RGB, Pixels
from recolor.color.gamut import BLOCK_PIXELS, grey_of, join, join16, lightness_of, lightness_of_grey
from recolor.colorize.look import Look
from recolor.colorize.sources import Opened, Source, open_source
from recolor.colorize.upsample import resize, upsample
from recolor.config.settings import ColorizeDevice
from recolor.models.device import resolve_device
from recolor.models.files import LoadedGenerator, LoadedRefiner, load_generator, load_refiner
from recolor.models.folders import check_both_models
from recolor.models.pretrained import models_folder
from recolor.paths import expand_user
from recolor.pipeline.parallel import on_all_cores

Float32Array = NDArray[np.float32]

T = TypeVar("T")

_MAX_ELONGATION = 4
_MIN_MODEL_SIDE_PX = 32
_BATCH_PIXELS = 64 * 256 * 256  # of one batch; takes some gigabytes of memory
_BATCH_PIXELS_ON_CPU = 4 * 256 * 256  # larger batches are not faster there

_AS_PREDICTED = Look()


@dataclass(frozen=True, slots=True)
class Distribution:
    """What the generator predicts for a batch, before a look is chosen.

    Attributes:
        L: float32 [N, 1, h, w], 0..100, on the models' device.
        out: The generator's output; see `Generator.forward`.
    """

    L: Tensor
    out: Tensor


@dataclass(frozen=True, slots=True)
class Colorizer:
    """Colours photographs with a generator and a refiner. Threads can share one instance.

    Attributes:
        generator: Predicts coarse ab from L.
        refiner: Refines coarse ab to the resolution of L.
        device: Device of both models.

    Examples:
        >>> from recolor import Colorizer
        >>> colorizer = Colorizer.from_pretrained()
        >>> colorizer("old.jpg").save("new.jpg")
    """

    generator: LoadedGenerator
    refiner: LoadedRefiner
    device: torch.device

    @classmethod
    def from_folder(cls, models: Path | str, device: ColorizeDevice = "auto") -> "Colorizer":
        """Loads the models in `generator/` and `refiner/` of a folder such as `data/models`.

        Raises:
            MissingStageError: A model is missing; names the stage to run.
            WeightsError: A file is damaged or has a format unknown to this version.
            ConfigError: CUDA or MPS was requested and is not available.
        """
        models = expand_user(Path(models))
        check_both_models(models)
        chosen = resolve_device(device)
        generator = load_generator(models / "generator", chosen)
        return cls(generator, load_refiner(models / "refiner", chosen), chosen)

    @classmethod
    def from_pretrained(cls, device: ColorizeDevice = "auto") -> "Colorizer":
        """Loads the models that come with the package; raises the errors of `from_folder`."""
        return cls.from_folder(models_folder(), device)

    @overload
    def __call__(self, picture: Image.Image | Path | str, look: Look = ...) -> Image.Image: ...

    @overload
    def __call__(self, picture: Pixels, look: Look = ...) -> Pixels: ...

    def __call__(self, picture: Source, look: Look = _AS_PREDICTED) -> Image.Image | Pixels:
        """Colours an image of any size; only its lightness is used.

        Args:
            picture: A picture of any mode, an array, or the path of a file. The EXIF orientation and colour profile of
                pictures and files are applied. Arrays are sRGB [H, W, 3] or grey [H, W] or [H, W, 1], uint8 or uint16.
            look: How bold the colours are.

        Returns:
            For an array, sRGB [H, W, 3] of its type. Otherwise an upright sRGB picture at full size; mode RGBA if there
            is alpha, else RGB.

        Raises:
            InputError: It is no image, or an array of another shape or type.
            ImageError: The pixels of a picture or file cannot be read.
        """
        (coloured,) = self.colorize_batch([picture], look)
        return coloured

    def colorize_rgb(self, rgb: RGB, look: Look = _AS_PREDICTED) -> RGB:
        """Colours an array as `__call__` does.

        Args:
            rgb: uint8 sRGB [H, W, 3].
            look: How bold the colours are.

        Returns:
            uint8 sRGB [H, W, 3] with the lightness of `rgb`; see `recolor.color.gamut.join`.
        """
        return cast("RGB", self(rgb, look))

    def colorize_batch(self, images: Sequence[Source], look: Look = _AS_PREDICTED) -> list[Image.Image | Pixels]:
        """Colours images of any sizes, those of equal shape together.

        Args:
            images: As for `__call__`; pictures, arrays and paths may be mixed.
            look: How bold the colours are.

        Returns:
            For each image the result of `__call__`, up to rounding in the models.

        Raises:
            InputError: One is no image, or an array of another shape or type. No image is coloured.
            ImageError: The pixels of a picture or file cannot be read. No image is coloured.
        """
        opened = [open_source(image) for image in images]
        each = _mapped([image.pixels.shape for image in opened])
        lightnesses = each(lambda number: lightness_of(opened[number].pixels))
        colours = self.predict_colours(lightnesses, look)
        return each(lambda number: _coloured(opened[number], lightnesses[number], colours[number]))

    def predict_colour(self, L: Float32Array, look: Look = _AS_PREDICTED) -> Float32Array:
        """Predicts ab [H, W, 2] of one photograph from L [H, W]; see `predict_colours`."""
        return self.predict_colours([L], look)[0]

    def predict_colours(self, lightnesses: Sequence[Float32Array], look: Look = _AS_PREDICTED) -> list[Float32Array]:
        """Predicts the colour of photographs at full resolution.

        Colour is predicted at the models' size and upsampled along the edges of L.

        Args:
            lightnesses: L of each photograph, float32 [H, W], 0..100; sizes may differ.
            look: How bold the colours are.

        Returns:
            ab of each photograph, float32 [H, W, 2], in Lab units; can be outside the sRGB gamut.
        """
        each = _mapped([L.shape for L in lightnesses])
        small = each(lambda number: self.at_model_size(lightnesses[number]))
        ab: dict[int, Float32Array] = {}
        for numbers in _batches(small, _BATCH_PIXELS_ON_CPU if self.device.type == "cpu" else _BATCH_PIXELS):
            ab.update(zip(numbers, self.predict_ab(np.stack([small[number] for number in numbers]), look)))
        saturation = np.float32(look.saturation)
        return each(lambda number: upsample(ab[number] * saturation, small[number], lightnesses[number]))

    def at_model_size(self, L: Float32Array) -> Float32Array:
        """Returns L [H, W] resized to the models' size.

        As in the shards, sRGB values are resized, not L.
        """
        width_px, height_px = model_size(L.shape[1], L.shape[0], self.generator.image_px, self.generator.multiple_px)
        if L.shape == (height_px, width_px):
            return L
        return lightness_of_grey(resize(grey_of(L), width_px, height_px).clip(0, 1))

    @torch.inference_mode()
    def predict_ab(self, L: Float32Array, look: Look = _AS_PREDICTED) -> Float32Array:
        """Runs both models, in float32 on every device so that all devices give the same colours.

        Args:
            L: float32 [N, h, w], 0..100, at the models' size.
            look: All but its saturation is used; the caller applies the saturation.

        Returns:
            ab, float32 [N, h, w, 2], in Lab units.
        """
        return self.read_ab(self.predict_distribution(L), look)

    @torch.inference_mode()
    def predict_distribution(self, L: Float32Array) -> Distribution:
        """Runs the generator, so that the colours of several looks can be read with `read_ab`.

        Args:
            L: float32 [N, h, w], 0..100, at the models' size.
        """
        batch = torch.from_numpy(L)[:, None].to(self.device)
        return Distribution(batch, self.generator.predict(batch))

    @torch.inference_mode()
    def read_ab(self, predicted: Distribution, look: Look = _AS_PREDICTED) -> Float32Array:
        """Reads the colours of a look from a prediction, and refines them.

        Args:
            predicted: What `predict_distribution` returned.
            look: All but its saturation is used; the caller applies the saturation.

        Returns:
            ab, float32 [N, h, w, 2], in Lab units.
        """
        ab_small = self.generator.read_ab(
            predicted.out,
            look.temperature,
            rebalanced=look.rebalanced,
            tilt=look.tilt,
            chroma_contrast=look.chroma_contrast,
        )
        ab = self.refiner.refine_ab(predicted.L, ab_small)
        return np.ascontiguousarray(ab.float().permute(0, 2, 3, 1).cpu().numpy())


def _batches(images: Sequence[Float32Array], max_pixels: int) -> Iterator[list[int]]:
    """Yields the indices of images of equal shape, at most `max_pixels` pixels together."""
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        groups[image.shape].append(number)
    for (height_px, width_px), numbers in groups.items():
        count = max(1, max_pixels // (height_px * width_px))
        for start in range(0, len(numbers), count):
            yield numbers[start : start + count]


def _mapped(shapes: Sequence[tuple[int, ...]]) -> Callable[[Callable[[int], T]], list[T]]:
    """Returns a function that maps over the indices of the images.

    Small images are processed in parallel; large ones one by one, because each uses all cores.
    """
    small = all(shape[0] * shape[1] <= BLOCK_PIXELS for shape in shapes)
    numbers = range(len(shapes))
    return lambda function: on_all_cores(function, numbers) if small else [function(number) for number in numbers]


def _coloured(opened: Opened, L: Float32Array, ab: Float32Array) -> Image.Image | Pixels:
    """Returns an array in the bits that were given, or a picture, which has 8."""
    if opened.is_array:
        return join(L, ab) if opened.pixels.dtype == np.uint8 else join16(L, ab)
    rgb = join(L, ab)
    return Image.fromarray(rgb if opened.alpha is None else np.dstack((rgb, opened.alpha)))


def model_size(width_px: int, height_px: int, image_px: int, multiple_px: int = 8) -> tuple[int, int]:
    """Returns the size at which colour is predicted: the size of training.

    Therefore a photograph gets the same colours at every resolution. The long side is at most four times `image_px`;
    longer panoramas are squeezed.

    Args:
        width_px: Width of the photograph.
        height_px: Height of the photograph.
        image_px: Short side of whole images in training.
        multiple_px: Number that both sides are multiples of.

    Returns:
        Width and height in pixels.
    """
    scale = min(image_px / min(width_px, height_px), _MAX_ELONGATION * image_px / max(width_px, height_px))
    least = max(_MIN_MODEL_SIDE_PX, multiple_px)
    width, height = (max(least, round(side * scale / multiple_px) * multiple_px) for side in (width_px, height_px))
    return width, height
