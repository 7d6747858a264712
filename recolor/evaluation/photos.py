"""Photographs of a folder as a source, coloured as `recolor colorize` does."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from recolor.cleaning.index import scan_folder
from recolor.color.lab import rgb_to_lab
from recolor.colorize import Colorizer, Look
from recolor.config.settings import IndexConfig, MeasureConfig, RefinerModelConfig
from recolor.dataset.sampler import Int64Array
from recolor.errors import ImageError, InputError
from recolor.evaluation.measure import Sample, Source
from recolor.evaluation.methods import SATURATED, Method, Model
from recolor.evaluation.split import spaced_rows
from recolor.images import decode, read_bytes
from recolor.manifests.names import decode_path
from recolor.models.files import LoadedRefiner
from recolor.models.refiner import Refiner
from recolor.pipeline.c_messages import no_c_messages

RGB = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

SIZE_PX = 256
_MIN_SIDE_PX = 11  # width of the SSIM window
_BATCH_IMAGES = 8


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A photograph that could not be measured, and the reason."""

    path: str
    error: ImageError


@dataclass(frozen=True, slots=True)
class Photos:
    """Measurable photographs of a folder.

    Attributes:
        folder: Folder of the photographs.
        size_px: Short side that larger photographs are reduced to.
        limits: Limits of file and image sizes.
        paths: Paths relative to the folder.
        unreadable: Photographs that could not be measured.
        mean_ab: Mean a and b of the photographs, float32 [2], in Lab units.
    """

    folder: Path
    size_px: int
    limits: MeasureConfig
    paths: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    mean_ab: Float32Array

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how photographs were reduced and how many could not be measured."""
        reduced = (
            f"Photographs with a short side above {self.size_px} px were reduced to {self.size_px} px before colouring."
        )
        left_out = f"{len(self.unreadable):,} files could not be measured and are not included."
        return (reduced, left_out) if self.unreadable else (reduced,)


@dataclass(frozen=True, slots=True)
class _Painter:
    """A method with the colorizer and the look that implement it."""

    method: Method
    colorizer: Colorizer
    look: Look


def find_photos(
    folder: Path, size_px: int, limits: MeasureConfig, *, max_images: int, workers: int, skip: Sequence[Path] = ()
) -> Photos:
    """Reads every photograph once; returns those that can be measured and their mean colour.

    Args:
        folder: Folder of photographs, searched recursively.
        size_px: Short side that larger photographs are reduced to.
        limits: Limits of file and image sizes.
        max_images: Maximum number of images, evenly spaced over the sorted paths.
        workers: Number of threads that read files.
        skip: Folders that are not searched.

    Raises:
        InputError: The folder is missing or has no readable image.
    """
    found = scan_folder(folder, IndexConfig(), skip=skip).found
    if not found:
        raise InputError(f"{folder}: no image in this folder.")
    paths = [found[row].path for row in spaced_rows(len(found), max_images)]
    with ThreadPoolExecutor(workers) as pool:
        read = list(pool.map(partial(_mean_ab, folder, size_px, limits), paths))
    means = {path: mean for path, mean in zip(paths, read, strict=True) if not isinstance(mean, ImageError)}
    failed = tuple(Unreadable(path, error) for path, error in zip(paths, read) if isinstance(error, ImageError))
    if not means:
        raise InputError(f"{folder}: none of the {len(paths)} images can be read. The first error: {failed[0].error}.")
    mean_ab = np.mean(list(means.values()), axis=0).astype(np.float32)
    return Photos(folder, size_px, limits, tuple(means), failed, mean_ab)


def photo_source(photos: Photos, models: Sequence[Model]) -> Source:
    """Returns a source of photographs coloured by `Colorizer.predict_colours` and controls."""
    painters = [painter for model in models for painter in _painters(model)]
    return Source(photos.paths, partial(_samples, photos, painters))


@no_c_messages()
def read_photo(folder: Path, path: str, size_px: int, limits: MeasureConfig) -> RGB:
    """Reads a photograph, uint8 sRGB [H, W, 3].

    An area filter reduces it if its short side is longer than `size_px`.

    Raises:
        ImageError: It cannot be read, or a side is shorter than 11 pixels, the width of the SSIM window.
    """
    rgb = decode(read_bytes(folder / decode_path(path), limits), limits, size_px, lenient=True).rgb
    height_px, width_px = rgb.shape[:2]
    scale = min(1.0, size_px / min(height_px, width_px))
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    if min(size) < _MIN_SIDE_PX:
        raise ImageError(
            "unsupported", f"{size[0]}x{size[1]} pixels: metrics need at least {_MIN_SIDE_PX} pixels a side"
        )
    return rgb if scale == 1.0 else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _mean_ab(folder: Path, size_px: int, limits: MeasureConfig, path: str) -> Float64Array | ImageError:
    try:
        lab = rgb_to_lab(read_photo(folder, path, size_px, limits))
    except ImageError as error:
        return error
    mean: Float64Array = lab[..., 1:].mean(axis=(0, 1), dtype=np.float64)
    return mean


def _painters(model: Model) -> tuple[_Painter, ...]:
    """Returns the methods of a model.

    They are the generator alone and the complete model; for a control, the complete model as it is and saturated.
    """
    alone = Colorizer(model.generator, _upsampling(model.device), model.device)
    whole = Colorizer(model.generator, model.refiner, model.device) if model.refiner else alone
    painted = _Painter(model.whole, whole, model.look)
    if model.kind == "control":
        return painted, _Painter(Method(model.label, "saturated", "control"), whole, Look(saturation=SATURATED))
    if model.refiner is None:
        return (painted,)
    return _Painter(Method(model.label, "generator", "model"), alone, model.look), painted


def _upsampling(device: torch.device) -> LoadedRefiner:
    """Returns a refiner that only upsamples bilinearly: an untrained one adds nothing to that."""
    config = RefinerModelConfig(encoder_weights="none", width=8, blocks=1)
    return LoadedRefiner(Refiner(config).to(device).eval().requires_grad_(False), config, {})


def _samples(photos: Photos, painters: Sequence[_Painter], rows: Int64Array) -> Iterator[list[Sample]]:
    for start in range(0, len(rows), _BATCH_IMAGES):
        paths = [photos.paths[row] for row in rows[start : start + _BATCH_IMAGES]]
        truths = [read_photo(photos.folder, path, photos.size_px, photos.limits) for path in paths]
        labs = [rgb_to_lab(truth) for truth in truths]
        lightnesses = [np.ascontiguousarray(lab[..., 0]) for lab in labs]
        by_models = [
            [(painter.method, ab) for ab in painter.colorizer.predict_colours(lightnesses, painter.look)]
            for painter in painters
        ]
        for_each = zip(paths, truths, labs, zip(*by_models), strict=True)
        yield [_sample(path, truth, lab, methods, photos.mean_ab) for path, truth, lab, methods in for_each]


def _sample(
    path: str, truth: RGB, lab: Float32Array, by_models: Sequence[tuple[Method, Float32Array]], mean_ab: Float32Array
) -> Sample:
    L, truth_ab = np.ascontiguousarray(lab[..., 0]), np.ascontiguousarray(lab[..., 1:])
    nothing = (
        (Method("", "grey", "control"), np.zeros_like(truth_ab)),
        (Method("", "mean_ab", "control"), np.broadcast_to(mean_ab, truth_ab.shape)),
    )
    return Sample(
        path, truth, L, truth_ab, (*nothing, *by_models, (Method("", "oracle", "control"), _oracle(truth_ab)))
    )


def _oracle(ab: Float32Array) -> Float32Array:
    """Returns the true ab reduced to a quarter of the size and upsampled bilinearly."""
    height_px, width_px = ab.shape[:2]
    quarter = max(1, round(width_px / 4)), max(1, round(height_px / 4))
    small = cv2.resize(ab, quarter, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.float32)
