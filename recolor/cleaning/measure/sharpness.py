"""Measures fine detail at several scales (octaves) and along several directions.

In a sharp photograph the energy of the second differences is about the same at every scale, because natural images are
self-similar (Field 1987). Blur and upscaling remove it from the finest octaves only; fog removes it from all. The ratio
between octaves therefore distinguishes blur from fog. A moving camera removes it along one direction only, so each
direction is measured.
"""

import cv2
import numpy as np

from recolor.color.arrays import RGB, Grey
from recolor.manifests.schemas import DETAIL_OCTAVES, SHARPNESS_PX

OCTAVES = 4  # of which copies are made, in colour
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


def smallest_octave(pictures: list[Picture], side_px: int) -> Picture:
    """Returns the smallest octave whose short side is at least `side_px`, or the picture itself if none is."""
    return next((picture for picture in reversed(pictures) if min(picture.shape[:2]) >= side_px), pictures[0])


def square_copy(pictures: list[Picture], side_px: int) -> Picture:
    """Returns the smallest octave that is large enough, area-averaged to uint8 [side_px, side_px(, 3)]."""
    picture = smallest_octave(pictures, side_px)
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)


def measure_sharpness(pictures: list[Grey]) -> dict[str, float]:
    """Measures second differences at several octaves.

    Args:
        pictures: uint8 [H, W] each, each half as large as the one before, as `octaves` returns them. Two more halvings
            follow: a heavy blur leaves detail in none of the finer octaves, as a plain sky does, and only in coarse
            ones do the two differ.

    Returns:
        `detail_<angle>_<octave>`, the mean of the squared second difference along a direction. Grey levels², ≥ 0.
    """
    finest_first = list(pictures)
    while len(finest_first) < DETAIL_OCTAVES:
        finest_first.append(halve(finest_first[-1]))
    return {
        f"detail_{angle}_{octave}": _detail(grey, *step)
        for octave, grey in enumerate(finest_first)
        for angle, step in _STEPS.items()
    }


def _detail(grey: Grey, down: int, right: int) -> float:
    """Returns the mean of (before - 2 here + after)² along a direction, over every other row (of many, every fourth).

    Computed as 2 (before - here)² + 2 (here - after)² - (before - after)², which is exact in integers and needs no
    temporary picture. These rows give the same mean as all, within noise. 0 if no pixel has both neighbours.
    """
    height, width = grey.shape[0] - 2 * abs(down), grey.shape[1] - 2 * right
    if height < 1 or width < 1:
        return 0.0
    top, every = 2 * max(0, -down), 2 if len(grey) < SHARPNESS_PX else 4
    before = grey[top : top + height : every, :width]
    here = grey[top + down : top + down + height : every, right : right + width]
    after = grey[top + 2 * down : top + 2 * down + height : every, 2 * right : 2 * right + width]
    near = cv2.norm(before, here, cv2.NORM_L2SQR) + cv2.norm(here, after, cv2.NORM_L2SQR)
    return float(2.0 * near - cv2.norm(before, after, cv2.NORM_L2SQR)) / float(before.size)
