"""How much fine detail there is, octave by octave, and along which lines.

In a sharp photograph the energy of its second differences is about the same at every scale, as natural images are
alike at every scale (Field 1987). Blur, and upscaling, take it from the finest octaves and leave the coarser ones:
their ratio tells blur from fog, which takes from all. A moved camera takes it along one line alone, so that each is
measured.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.measure.percentile import percentile

LAPLACIAN_OCTAVES = (1, 2)
_BLOCK_PX = 16
_PERCENTILE = 95
# Angle in degrees from horizontal, anticlockwise -> rows down and columns right to the next pixel along the line.
_STEPS = {0: (0, 1), 45: (-1, 1), 90: (1, 0), 135: (1, 1)}

Grey = NDArray[np.uint8]


def measure_sharpness(pictures: list[Grey]) -> dict[str, float]:
    """Measures second differences at several octaves.

    Args:
        pictures: uint8 [H, W] each, each half as large as the one before; see `octaves`.

    Returns:
        For octave k: `detail_<angle>_k`, the mean of the squared second difference along a line; for the middle two
        also `laplacian_variance_k`, the mean of the squared Laplacian (4 neighbours), and `laplacian_block_k`, that of
        the sharpest blocks (95th percentile over blocks of 16 px of the octave): a picture whose subject alone is sharp
        is sharp. Grey levels², ≥ 0.
    """
    numbers = {}
    for octave, grey in enumerate(pictures):
        for angle, step in _STEPS.items():
            numbers[f"detail_{angle}_{octave}"] = _detail(grey, *step)
        if octave in LAPLACIAN_OCTAVES:
            numbers[f"laplacian_variance_{octave}"], numbers[f"laplacian_block_{octave}"] = _laplacian(grey)
    return numbers


def _laplacian(grey: Grey) -> tuple[float, float]:
    """Mean over the picture and over its sharpest blocks; what no whole block holds is left out of the latter."""
    laplacian = cv2.Laplacian(grey, cv2.CV_16S, borderType=cv2.BORDER_REFLECT_101)  # 16 bits hold 8 x 255
    mean = float(cv2.norm(laplacian, cv2.NORM_L2SQR)) / grey.size
    height, width = grey.shape[0] // _BLOCK_PX, grey.shape[1] // _BLOCK_PX
    if not height or not width:
        return mean, mean
    whole = laplacian[: height * _BLOCK_PX].astype(np.float32).reshape(height, _BLOCK_PX, -1)
    columns = np.einsum("iyx,iyx->ix", whole, whole)[:, : width * _BLOCK_PX]
    energies = columns.reshape(height, width, _BLOCK_PX).sum(axis=2) / _BLOCK_PX**2
    return mean, float(percentile(energies[None], _PERCENTILE)[0])


def _detail(grey: Grey, down: int, right: int) -> float:
    """Mean of (before - 2 here + after)² along a line, for every other row: half the pixels are as good as all.

    As 2 (before - here)² + 2 (here - after)² - (before - after)²: exact in whole numbers, and no picture is written.
    0 if no pixel has both neighbours.
    """
    height, width = grey.shape[0] - 2 * abs(down), grey.shape[1] - 2 * right
    if height < 1 or width < 1:
        return 0.0
    top = 2 * max(0, -down)
    before, here, after = (
        grey[top + way * down : top + way * down + height : 2, way * right : way * right + width] for way in range(3)
    )
    near = cv2.norm(before, here, cv2.NORM_L2SQR) + cv2.norm(here, after, cv2.NORM_L2SQR)
    return float(2.0 * near - cv2.norm(before, after, cv2.NORM_L2SQR)) / float(before.size)
