"""What a decoder returns, and what all formats share: the pixel limit and EXIF orientation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recolor.errors import ImageError

TRANSPOSED = range(5, 9)  # EXIF orientations that exchange width and height


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """One decoded image.

    Attributes:
        rgb: uint8 [H, W, 3], sRGB, upright, contiguous; smaller than the image if it was decoded at a scale.
        width_px: Full width of the upright image.
        height_px: Full height of the upright image.
        format: `JPEG`, `PNG`, `WEBP`, `TIFF`, `BMP` or `GIF`.
        mode: The file's pixel mode in Pillow's words, such as `RGB`, `L`, `P`, `CMYK`, `I;16`.
        frames: Number of frames or pages, of which `rgb` is the first; 2 stands for two or more in GIF and TIFF.
        orientation: EXIF orientation that was applied, 1..8; 1 is upright.
        icc: Whether the file carries an ICC profile.
    """

    rgb: NDArray[np.uint8]
    width_px: int
    height_px: int
    format: str
    mode: str
    frames: int
    orientation: int
    icc: bool


def check_size(width_px: int, height_px: int, max_pixels: int) -> None:
    """Refuses an image by its header.

    Raises:
        ImageError: It has no pixels, or too many.
    """
    if width_px < 1 or height_px < 1:
        raise ImageError("unsupported", f"the header says {width_px}x{height_px} pixels")
    if width_px * height_px > max_pixels:
        raise ImageError("too_many_pixels", f"{width_px}x{height_px} pixels, allowed are {max_pixels}")


def upright_size(width_px: int, height_px: int, orientation: int) -> tuple[int, int]:
    """Width and height after the orientation is applied."""
    return (height_px, width_px) if orientation in TRANSPOSED else (width_px, height_px)


def upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Applies an EXIF orientation (CIPA DC-008, tag 0x0112).

    Args:
        rgb: uint8 [H, W, 3].
        orientation: 1..8.

    Returns:
        uint8 [H, W, 3] or, for 5 to 8, [W, H, 3]; contiguous.
    """
    if orientation in TRANSPOSED:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
