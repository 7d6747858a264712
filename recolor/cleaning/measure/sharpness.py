"""Measures fine detail at several scales (octaves) and along several directions.

In a sharp photograph the energy of the second differences is about the same at every scale, because natural images are
self-similar (Field 1987). Blur and upscaling remove it from the finest octaves only; fog removes it from all. The ratio
between octaves therefore distinguishes blur from fog. A moving camera removes it along one direction only, so each
direction is measured.
"""

import cv2
import numpy as np

from recolor.cleaning.measure.colour import percentile
from recolor.color.arrays import RGB, Grey

OCTAVES = 4
LAPLACIAN_OCTAVES = (1, 2)
_BLOCK_PX = 16
_PERCENTILE = 95
# Angle in degrees from horizontal, anticlockwise -> rows down and columns right to the next pixel.
_STEPS = {0: (0, 1), 45: (-1, 1), 90: (1, 0), 135: (1, 1)}

Picture = RGB | Grey


def octaves(picture: Picture) -> list[Picture]:
    """Returns a picture, uint8 [H, W] or [H, W, 3], and its halves, quarters and eighths."""
    pictures = [picture]
    while len(pictures) < OCTAVES:
        pictures.append(halve(pictures[-1]))
    return pictures


def halve(picture: Picture) -> Picture:
    """Returns means of 2x2 pixels; an odd last row or column is dropped, unless it is the only one."""
    height, width = max(1, picture.shape[0] // 2), max(1, picture.shape[1] // 2)
    even = picture[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def square_copy(pictures: list[Picture], side_px: int) -> Picture:
    """Returns the smallest octave that is large enough, area-averaged to uint8 [side_px, side_px(, 3)]."""
    enough = (picture for picture in reversed(pictures) if min(picture.shape[:2]) >= side_px)
    picture = next(enough, pictures[0])
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)


def measure_sharpness(pictures: list[Grey]) -> dict[str, float]:
    """Measures second differences at several octaves.

    Args:
        pictures: uint8 [H, W] each, each half as large as the one before, as `octaves` returns them.

    Returns:
        For octave k: `detail_<angle>_k`, the mean of the squared second difference along a direction. For the middle
        two octaves also `laplacian_variance_k`, the mean of the squared Laplacian (4 neighbours), and
        `laplacian_block_k`, the same for the sharpest blocks (95th percentile over blocks of 16 px), so that a sharp
        subject before a blurred background counts as sharp. Grey levels², ≥ 0.
    """
    numbers = {}
    for octave, grey in enumerate(pictures):
        for angle, step in _STEPS.items():
            numbers[f"detail_{angle}_{octave}"] = _detail(grey, *step)
        if octave in LAPLACIAN_OCTAVES:
            numbers[f"laplacian_variance_{octave}"], numbers[f"laplacian_block_{octave}"] = _laplacian(grey)
    return numbers


def _laplacian(grey: Grey) -> tuple[float, float]:
    """Returns the mean over the picture and over its sharpest blocks; the latter ignore incomplete blocks."""
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
    """Returns the mean of (before - 2 here + after)² along a direction, over every other row.

    Computed as 2 (before - here)² + 2 (here - after)² - (before - after)², which is exact in integers and needs no
    temporary picture. Half of the rows give the same mean as all, within noise. 0 if no pixel has both neighbours.
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
