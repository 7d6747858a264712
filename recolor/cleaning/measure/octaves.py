"""Smaller copies of a picture, by area means."""

import cv2
import numpy as np
from numpy.typing import NDArray

OCTAVES = 4

Picture = NDArray[np.uint8]


def octaves(picture: Picture) -> list[Picture]:
    """A picture, uint8 [H, W] or [H, W, 3], and its halves, quarters and eighths."""
    pictures = [picture]
    while len(pictures) < OCTAVES:
        pictures.append(halve(pictures[-1]))
    return pictures


def halve(picture: Picture) -> Picture:
    """Means of 2x2 pixels; a last odd row or column is left out, and a single one stays."""
    height, width = max(1, picture.shape[0] // 2), max(1, picture.shape[1] // 2)
    even = picture[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def square_copy(pictures: list[Picture], side_px: int) -> Picture:
    """The smallest of some octaves that is large enough, area-averaged to a square, uint8 [side_px, side_px(, 3)]."""
    enough = (picture for picture in reversed(pictures) if min(picture.shape[:2]) >= side_px)
    picture = next(enough, pictures[0])
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
