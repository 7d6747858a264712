"""Photographs in guises that clean ones come in: what `skewed` must keep. `colour_defects.py` spoils them.

Pictures are float32 [H, W, 3], sRGB from 0 to 1.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Guise = Callable[[Picture, np.random.Generator], Picture]

TURN = 2 * np.pi
_DARK = np.array([0.30, 0.34, 0.42], np.float32)
_MIST = np.array([0.847, 0.863, 0.878], np.float32)
_NOISE = 0.006


def to_lab(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2Lab), np.float32)


def from_lab(lab: Picture) -> Picture:
    return np.asarray(np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1), np.float32)


def gains_towards(hue: float, chroma: float) -> Picture:
    """Gains of red, green and blue that move a mid-grey by `chroma` Lab units towards a hue in radians."""
    grey, moved = (
        from_lab(np.array([[[65, c * np.cos(hue), c * np.sin(hue)]]], np.float32))[0, 0] for c in (0.0, chroma)
    )
    return np.asarray(moved / grey, np.float32)


def part_of_it(picture: Picture, rng: np.random.Generator) -> Picture:
    """A crop of at least 55% of each side, and often its mirror image."""
    side = len(picture)
    height, width = (int(side * rng.uniform(0.55, 1)) for _ in range(2))
    top, left = rng.integers(side - height + 1), rng.integers(side - width + 1)
    part = picture[top : top + height, left : left + width]
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def clean_guise(picture: Picture, rng: np.random.Generator) -> Picture:
    """Fog, pale winter, night, another exposure or saturation, a touch of white balance."""
    match rng.integers(8):
        case 0:
            made = _fog(picture, rng)
        case 1:
            lift = rng.uniform(0, 0.4)
            made = _in_lab(picture, lift, 1 - lift, rng.uniform(0.25, 0.7))
        case 2:
            made = _night(picture, rng)
        case 3 | 4:
            made = _touch(_saturation(_exposure(picture, rng), rng), rng)
        case 5:
            made = _touch(picture, rng)
        case 6:
            made = _saturation(picture, rng)
        case _:
            made = _exposure(picture, rng)
    return made


def aurora(picture: Picture, rng: np.random.Generator) -> Picture:
    """Polar light, most often green, above a dark photograph."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    bend = rng.uniform(0.1, 0.5) + 0.1 * np.sin(rng.uniform(2, 8) * x + rng.uniform(0, 6)) + rng.uniform(-0.3, 0.3) * x
    below = y > bend
    glow = np.exp(-(((y - bend) / np.where(below, rng.uniform(0.05, 0.15), rng.uniform(0.1, 0.5))) ** 2))
    ground = np.clip((y - rng.uniform(0.55, 0.9)) / 0.05, 0, 1)
    light = np.array([rng.uniform(10, 110), rng.uniform(140, 255), rng.uniform(60, 190)]) / 255 * rng.uniform(0.4, 1)
    dark = picture * np.array([0.30, 0.34, 0.42]) * rng.uniform(0.1, 0.8)
    return _clipped(dark + (glow * (1 - 0.8 * ground))[..., None] * light + rng.normal(0, _NOISE, picture.shape))


def _fog(picture: Picture, rng: np.random.Generator) -> Picture:
    thickness = rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.5)
    share = np.linspace(*thickness, len(picture), dtype=np.float32)[:, None, None]
    return picture * (1 - share) + _MIST * share


def _night(picture: Picture, rng: np.random.Generator) -> Picture:
    gains = _DARK * rng.uniform(0.8, 2.0)
    dark = picture ** np.float32(rng.uniform(1.2, 1.8)) * gains
    return _clipped(dark + rng.normal(0, _NOISE, picture.shape))


def _exposure(picture: Picture, rng: np.random.Generator) -> Picture:
    brighter = np.clip(picture * rng.uniform(0.6, 1.35), 0, 1)
    return np.asarray(brighter ** np.float32(rng.uniform(0.65, 1.5)), np.float32)


def _saturation(picture: Picture, rng: np.random.Generator) -> Picture:
    return _in_lab(picture, 0.0, 1.0, rng.uniform(0.55, 1.4))


def _in_lab(picture: Picture, lift: float, contrast: float, saturation: float) -> Picture:
    """Lightness raised by `lift` of its range and scaled, chroma scaled."""
    lab = to_lab(picture)
    lab[..., 0] = 100 * lift + contrast * lab[..., 0]
    lab[..., 1:] *= saturation
    return from_lab(lab)


def _touch(picture: Picture, rng: np.random.Generator) -> Picture:
    """A hand's touch of white balance, at most 7 Lab units."""
    return _clipped(picture * gains_towards(rng.uniform(0, TURN), rng.uniform(0, 7)))


def _clipped(values: NDArray[np.floating]) -> Picture:
    return np.clip(values, 0, 1).astype(np.float32)
