"""Measures how steep the edges of a picture are, compared with the contrast around them.

A blur limits the steepness: an edge that it spreads over N pixels rises by at most 1/N of its height from one pixel to
the next. Texture does not matter for this. Dunes, snow and silhouettes have little texture and steep edges; a plain sky
has no contrast that an edge could have; a blurred picture has contrast and no steep edge.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import Grey

EDGE_OCTAVES = 2
SHARE_PERCENTILES = (50, 75, 90, 97)
STEP_PERCENTILES = (50, 90, 97)
CONTRAST_PERCENTILES = (10, 50, 90)
_BLOCK_PX = 16
_ONE_BLOCK = np.ones((1, _BLOCK_PX), np.uint8)
_ALL_BANDS = 17  # with more rows of blocks, every third is as good
_NOISE = 8.0  # grey levels: contrast that compression and noise make


def measure_edges(pictures: list[Grey]) -> NDArray[np.float32]:
    """Measures the steepest edges of blocks of 16 x 16 pixels, at the finest two octaves.

    Args:
        pictures: uint8 [H, W] each, each half as large as the one before, as `octaves` returns them.

    Returns:
        float32 [32]; for each octave 16 numbers over the blocks. Along rows, the 50th, 75th, 90th and 97th percentiles
        of the largest step from a pixel to the next over the block's contrast, and their mean weighted by contrast²
        (about 0..1); the same along columns; then the 50th, 90th and 97th percentiles of the larger of both steps, and
        the 10th, 50th and 90th of the contrast (largest minus smallest; 0..255 grey levels).
    """
    return np.concatenate([_of_octave(grey) for grey in pictures[:EDGE_OCTAVES]])


def _of_octave(grey: Grey) -> NDArray[np.float32]:
    maxima = _block_maxima(grey)
    ranked = np.empty((4, maxima.shape[1]), np.float32)
    shares, contrast = ranked[:2], ranked[3]
    np.add(maxima[0], maxima[1], out=contrast, dtype=np.float32)
    contrast -= 255
    height = contrast + _NOISE
    np.divide(maxima[2:], height, out=shares)
    weight = contrast * height
    means = (shares * weight).sum(axis=1) / (weight.sum() + np.float32(1e-3))  # BLAS would start threads
    np.maximum(maxima[2], maxima[3], out=ranked[2], casting="unsafe")
    ranked.sort(axis=1)
    count = ranked.shape[1]
    along, down = ranked[:2, [count * percent // 100 for percent in SHARE_PERCENTILES]]
    steps = ranked[2, [count * percent // 100 for percent in STEP_PERCENTILES]]
    contrasts = ranked[3, [count * percent // 100 for percent in CONTRAST_PERCENTILES]]
    return np.concatenate([along, means[:1], down, means[1:], steps, contrasts])


def _block_maxima(grey: Grey) -> NDArray[np.uint8]:
    """Returns the largest value, largest inverted value, and largest step along rows and columns of each block.

    Incomplete blocks are ignored, unless there are no others. Steps from the block to the left count, those from the
    block above do not.

    Returns:
        uint8 [4, blocks].
    """
    if min(grey.shape) < _BLOCK_PX:
        size = max(grey.shape[1], _BLOCK_PX), max(grey.shape[0], _BLOCK_PX)
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    height, width = (side // _BLOCK_PX for side in grey.shape)
    bands = np.ascontiguousarray(grey[: height * _BLOCK_PX, : width * _BLOCK_PX]).reshape(height, _BLOCK_PX, -1)
    bands = np.ascontiguousarray(bands[:: 3 if height > _ALL_BANDS else 1])
    lines = bands.reshape(-1, bands.shape[2])
    along, down = np.zeros_like(lines), np.zeros_like(lines)
    cv2.absdiff(lines[:, 1:], lines[:, :-1], dst=along[:, 1:])
    cv2.absdiff(lines[1:], lines[:-1], dst=down[1:])
    down[::_BLOCK_PX] = 0  # from band to band
    steps = (step.reshape(bands.shape).max(axis=1) for step in (along, down))
    of_columns = np.concatenate([bands.max(axis=1), 255 - bands.min(axis=1), *steps])
    widened = cv2.dilate(of_columns, _ONE_BLOCK)  # the largest of 8 pixels to the left and 7 to the right
    return np.asarray(widened[:, _BLOCK_PX // 2 :: _BLOCK_PX].reshape(4, -1), np.uint8)
