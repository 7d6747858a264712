"""What a decoder returns, and the limit on the number of pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import Pixels, on_white, to_8_bits
from recolor.errors import ImageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """One decoded image.

    Attributes:
        pixels: uint8 or uint16 [H, W, 3], sRGB, upright, contiguous, with the bits that the file has; smaller than the
            image if it was decoded at a scale.
        alpha: Straight alpha [H, W] of the same dtype, or None if the image is opaque.
        width_px: Full width of the upright image.
        height_px: Full height of the upright image.
        format: One of `FORMATS`.
        mode: The file's pixel mode in Pillow's words, such as `RGB`, `L`, `P`, `CMYK`, `I;16`.
        frames: Number of frames or pages; the first is decoded. 2 stands for two or more in GIF and TIFF.
        orientation: EXIF orientation that was applied, 1..8; 1 is upright.
        icc: Whether the file carries an ICC profile.
        notes: What is not in order in the file although no pixel is lost, one sentence each.
        tidy: The file with that corrected, or None if it is in order.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    width_px: int
    height_px: int
    format: str
    mode: str
    frames: int
    orientation: int
    icc: bool
    notes: tuple[str, ...] = ()
    tidy: bytes | None = None

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The pixels as a viewer shows them: uint8 [H, W, 3], transparency laid on white, 16 bits rounded to 8."""
        if self.alpha is None:
            return to_8_bits(self.pixels)
        return to_8_bits(on_white(self.pixels, self.alpha))


def check_size(width_px: int, height_px: int, max_pixels: int) -> None:
    """Refuses an image by the size that its header gives.

    Raises:
        ImageError: `unsupported` if it has no pixels, `too_many_pixels`.
    """
    if width_px < 1 or height_px < 1:
        raise ImageError("unsupported", f"the header says {width_px}x{height_px} pixels")
    if width_px * height_px > max_pixels:
        raise ImageError("too_many_pixels", f"{width_px}x{height_px} pixels; `measure.max_pixels` allows {max_pixels}")
