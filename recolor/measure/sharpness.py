"""How much fine detail there is, octave by octave, and along which lines.

In a sharp photograph the energy of its second differences is about the same at every scale, as natural images are
alike at every scale (Field 1987). Blur, and upscaling, take it from the finest octaves and leave the coarser ones:
their ratio tells blur from fog, which takes from all. A moved camera takes it along one line alone, so that each is
measured.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

OCTAVES = 4
ANGLES = (0, 45, 90, 135)  # degrees from horizontal, anticlockwise
_BLOCK_PX = 16
_PERCENTILE = 95
_SECOND_DIFFERENCES = {
    0: np.array([[0, 0, 0], [1, -2, 1], [0, 0, 0]], np.float32),
    45: np.array([[0, 0, 1], [0, -2, 0], [1, 0, 0]], np.float32),
    90: np.array([[0, 1, 0], [0, -2, 0], [0, 1, 0]], np.float32),
    135: np.array([[1, 0, 0], [0, -2, 0], [0, 0, 1]], np.float32),
}


def measure_sharpness(grey: NDArray[np.uint8]) -> dict[str, float]:
    """Measures second differences at 4 octaves, each half as large as the one before.

    Args:
        grey: uint8 [H, W].

    Returns:
        For octave k: `laplacian_variance_k`, the mean of the squared Laplacian (4 neighbours); `laplacian_block_k`,
        that of the sharpest blocks (95th percentile over blocks of 16 px of the octave): a picture whose subject alone
        is sharp is sharp; and `detail_<angle>_k`, the mean of the squared second difference along a line. Grey
        levels², ≥ 0.
    """
    numbers: dict[str, float] = {}
    for octave in range(OCTAVES):
        numbers |= dict(zip(_names(octave), _energies(grey), strict=True))
        grey = _half(grey)
    return numbers


def _names(octave: int) -> list[str]:
    details = [f"detail_{angle}_{octave}" for angle in ANGLES]
    return [f"laplacian_variance_{octave}", f"laplacian_block_{octave}", *details]


def _energies(grey: NDArray[np.uint8]) -> list[float]:
    """Mean and sharpest blocks of the squared Laplacian, then mean squared second difference along each angle."""
    # 16 bits hold every second difference of bytes.
    second = {
        angle: cv2.filter2D(grey, cv2.CV_16S, kernel, borderType=cv2.BORDER_REFLECT_101)
        for angle, kernel in _SECOND_DIFFERENCES.items()
    }
    laplacian = cv2.add(second[0], second[90])
    square = cv2.multiply(laplacian, laplacian, dtype=cv2.CV_32F)
    size = (max(1, grey.shape[1] // _BLOCK_PX), max(1, grey.shape[0] // _BLOCK_PX))
    blocks = cv2.resize(square, size, interpolation=cv2.INTER_AREA)
    details = [cv2.norm(second[angle], cv2.NORM_L2SQR) / grey.size for angle in ANGLES]
    return [float(blocks.mean()), float(np.percentile(blocks, _PERCENTILE)), *details]


def _half(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
