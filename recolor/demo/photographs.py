"""Photographs from scikit-image's wheel, read from the installed package without a download."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

from recolor.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """A crop of a photograph.

    Attributes:
        name: File name of the photograph.
        left_px: First column.
        top_px: First row.
        width_px: Columns before resizing.
        height_px: Rows before resizing.
        scale: Size of the result relative to the crop, at most 1.
    """

    name: str
    left_px: int
    top_px: int
    width_px: int
    height_px: int
    scale: float = 1.0


# Crops of one photograph overlap by less than half, so that none is a copy of another.
COLOUR_CROPS: tuple[Crop, ...] = (
    Crop(name="astronaut.png", left_px=60, top_px=0, width_px=300, height_px=270),
    Crop(name="astronaut.png", left_px=250, top_px=200, width_px=262, height_px=312),
    Crop(name="astronaut.png", left_px=0, top_px=220, width_px=270, height_px=292),
    Crop(name="chelsea.png", left_px=0, top_px=0, width_px=260, height_px=300),
    Crop(name="chelsea.png", left_px=175, top_px=20, width_px=276, height_px=280),
    Crop(name="coffee.png", left_px=0, top_px=0, width_px=320, height_px=300),
    Crop(name="coffee.png", left_px=270, top_px=100, width_px=330, height_px=300),
    Crop(name="motorcycle_left.png", left_px=0, top_px=0, width_px=400, height_px=300),
    Crop(name="motorcycle_left.png", left_px=330, top_px=170, width_px=411, height_px=330),
    Crop(name="motorcycle_left.png", left_px=0, top_px=0, width_px=741, height_px=500, scale=0.55),
    Crop(name="rocket.jpg", left_px=0, top_px=0, width_px=300, height_px=427),
    Crop(name="rocket.jpg", left_px=220, top_px=60, width_px=420, height_px=320),
)

# Photographs and their issues.
GREY_PHOTOGRAPHS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("brick.png", ("monochrome",)),
    ("camera.png", ("monochrome",)),
    ("cell.png", ("monochrome",)),
    ("clock_motion.png", ("monochrome", "blurry")),
    ("coins.png", ("monochrome",)),
    ("grass.png", ("monochrome",)),
    ("gravel.png", ("monochrome",)),
    ("moon.png", ("monochrome",)),
    ("page.png", ("monochrome", "low_resolution", "extreme_aspect")),
    ("text.png", ("monochrome", "low_resolution", "extreme_aspect")),
)


def photograph_path(name: str) -> Path:
    """Returns the path of a photograph in scikit-image's wheel.

    Raises:
        InputError: This installation of scikit-image lacks it.
    """
    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise InputError(f"{path}: not in this installation of scikit-image. Install its wheel from PyPI.")
    return path


def cut_photograph(crop: Crop) -> NDArray[np.uint8]:
    """Reads a crop of a photograph.

    Returns:
        sRGB, uint8 [H,W,3].

    Raises:
        InputError: This installation of scikit-image lacks it.
    """
    with Image.open(photograph_path(crop.name)) as image:
        rgb = np.asarray(image.convert("RGB"))
    rows, columns = slice(crop.top_px, crop.top_px + crop.height_px), slice(crop.left_px, crop.left_px + crop.width_px)
    part = np.ascontiguousarray(rgb[rows, columns])
    size = round(crop.width_px * crop.scale), round(crop.height_px * crop.scale)
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
