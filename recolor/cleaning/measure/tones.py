"""What tells a cast from a scene of one colour: percentiles of the channels, greyest colours, a coarse picture.

A blue or orange scene has something neutral at some lightness: a cloud, snow, rock, the sun. Under a cast nothing is.
Where the colours lie tells exchanged channels: grass is below the sky.
"""

import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import RGB

PERCENTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)
TONE_STRETCHES = 12  # stretches of lightness with equal numbers of pixels
GRID = 4  # cells along each side
TONES = 3 * len(PERCENTILES) + TONE_STRETCHES + 3 * GRID * GRID  # numbers
_GREYEST = 0.1  # share of the pixels of a stretch that are greyer

Planes = NDArray[np.float32]


def measure_tones(squares: RGB, lab: Planes, chroma_by_lightness: Planes) -> Planes:
    """Returns percentiles, greyest colours and the coarse picture.

    Args:
        squares: uint8 [N, S, S, 3], sRGB; S is a multiple of 12.
        lab: float32 [N, S, S, 3], the same in CIELAB.
        chroma_by_lightness: float32 [N, S * S], the chroma of the pixels in the order of their lightness.

    Returns:
        float32 [N, 81]: the 7 percentiles of red, of green and of blue, 0..255; for each of 12 stretches of lightness,
        from black, the chroma that 10% of its pixels are below; the mean L, a and b of 4 x 4 cells, row by row.
    """
    pictures, side = squares.shape[:2]
    pixels = side * side
    at = [int(percent / 100 * (pixels - 1)) for percent in PERCENTILES]
    # Of bytes, numpy's stable sort is a radix sort, which takes a fifteenth of the time.
    channels = np.sort(squares.reshape(pictures, pixels, 3).transpose(0, 2, 1), axis=2, kind="stable")[:, :, at]
    stretches = chroma_by_lightness.reshape(pictures, TONE_STRETCHES, -1)
    greyest = int(_GREYEST * stretches.shape[2])
    greys = np.partition(stretches, greyest, axis=2)[:, :, greyest]
    cells = lab.reshape(pictures, GRID, side // GRID, GRID, side // GRID, 3).mean(axis=(2, 4))
    return np.concatenate([channels.reshape(pictures, -1), greys, cells.reshape(pictures, -1)], axis=1, dtype="f4")
