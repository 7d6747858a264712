"""How much fine detail there is, octave by octave.

In a sharp photograph the Laplacian's variance is about the same at every scale, as natural images are alike at every
scale (Field 1987). Blur, and upscaling, take it from the finest octaves and leave the coarser ones: their ratio tells
blur from fog, which takes from all. It holds for small files as for large ones.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

OCTAVES = 4
_BLOCK_PX = 16
_PERCENTILE = 95


def measure_sharpness(grey: NDArray[np.uint8]) -> dict[str, float]:
    """Measures the Laplacian (4 neighbours) at 4 octaves, each half as large as the one before.

    Args:
        grey: uint8 [H, W].

    Returns:
        For octave k: `laplacian_variance_k`, the mean of its square over the picture, and `laplacian_block_k`, that of
        the sharpest blocks (95th percentile over blocks of 16 px of the octave): a picture whose subject alone is
        sharp is sharp. Grey levels², ≥ 0.
    """
    numbers = {}
    for octave in range(OCTAVES):
        numbers[f"laplacian_variance_{octave}"], numbers[f"laplacian_block_{octave}"] = _energy(grey)
        grey = _half(grey)
    return numbers


def _energy(grey: NDArray[np.uint8]) -> tuple[float, float]:
    laplacian = cv2.Laplacian(grey, cv2.CV_32F, borderType=cv2.BORDER_REFLECT_101)
    square = cv2.multiply(laplacian, laplacian)
    size = (max(1, grey.shape[1] // _BLOCK_PX), max(1, grey.shape[0] // _BLOCK_PX))
    blocks = cv2.resize(square, size, interpolation=cv2.INTER_AREA)
    return float(blocks.mean()), float(np.percentile(blocks, _PERCENTILE))


def _half(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
