"""A photograph before and after, side by side."""

import cv2
import numpy as np

from recolor.color.depth import Uint8, on_white, to_8_bits
from recolor.color.gamut import join
from recolor.colorize.photo import Photo

_LINE_PX = 2
_MOST_PX = 65_500  # sides of a JPEG


def side_by_side(photo: Photo, coloured: Uint8) -> Uint8:
    """Grey, coloured and, if it had colour, the original, with white lines between.

    Args:
        photo: As read.
        coloured: uint8 sRGB [H, W, 3].

    Returns:
        uint8 [H, 2 W + line or 3 W + 2 lines, 3]; smaller if that would not fit into a JPEG.
    """
    grey = join(photo.L, np.zeros((*photo.L.shape, 2), np.float32))
    panels = [grey, coloured] if photo.original is None else [grey, coloured, photo.original]
    if photo.alpha is not None:
        alpha = to_8_bits(photo.alpha)
        panels = [to_8_bits(on_white(panel, alpha)) for panel in panels]
    line = np.full((photo.L.shape[0], _LINE_PX, 3), 255, np.uint8)
    joined = np.hstack([part for panel in panels for part in (panel, line)][:-1])
    factor = _MOST_PX / max(joined.shape)
    if factor >= 1:
        return joined
    size = (int(joined.shape[1] * factor), max(1, int(joined.shape[0] * factor)))
    return np.asarray(cv2.resize(joined, size, interpolation=cv2.INTER_AREA), np.uint8)
