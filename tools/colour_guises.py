"""Photographs in guises that clean ones come in, and with their colours spoilt: what `skewed` is fitted on."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray
from planting import solarise

from recolor.color.lab import lab_to_rgb, rgb_to_lab
from recolor.demo.defects import swap_channels, to_single_hue

Rgb = NDArray[np.uint8]
Change = Callable[[Rgb, np.random.Generator], Rgb]

LEAST, MOST = 15.0, 45.0  # Lab units by which a cast moves a mid-grey; below about 12 nobody would object
OTHER_SWAPS = ((1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1))
LAMPS = np.array([1.5, 1.0, 0.45]), np.array([0.55, 1.0, 1.75])  # about 3,000 K of error, in linear light


def part_of_it(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A crop of at least half of each side, and often its mirror image."""
    height, width = (max(32, int(side * rng.uniform(0.5, 1))) for side in rgb.shape[:2])
    top, left = rng.integers(rgb.shape[0] - height + 1), rng.integers(rgb.shape[1] - width + 1)
    part = rgb[top : top + height, left : left + width]
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def clean_guise(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Fog, pale winter, night, another exposure or saturation, or a hand's touch of white balance."""
    match rng.integers(6):
        case 0:
            share = np.linspace(rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.5), len(rgb))[:, None, None]
            return rounded(rgb * (1 - share) + np.array([216.0, 220.0, 224.0]) * share)
        case 1:
            lift = rng.uniform(0, 0.4)
            return in_lab(rgb, lift, 1 - lift, rng.uniform(0.25, 0.7))
        case 2:
            gains = np.array([0.30, 0.34, 0.42]) * rng.uniform(0.8, 2.0)
            dark = 255 * (rgb / 255) ** rng.uniform(1.2, 1.8) * gains
            return rounded(dark + rng.normal(0, 1.5, rgb.shape))
        case 3:
            return rounded(255 * np.clip(rgb / 255 * rng.uniform(0.7, 1.3), 0, 1) ** rng.uniform(0.7, 1.4))
        case 4:
            return rounded(rgb * gains_towards(rng.uniform(0, 2 * np.pi), rng.uniform(0, 7)))
    return in_lab(rgb, 0, 1, rng.uniform(0.7, 1.4))


def aurora(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Polar light, most often green, above a dark photograph."""
    height, width = rgb.shape[:2]
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    bend = rng.uniform(0.1, 0.5) + 0.1 * np.sin(rng.uniform(2, 8) * x + rng.uniform(0, 6)) + rng.uniform(-0.3, 0.3) * x
    below = y > bend
    glow = np.exp(-(((y - bend) / np.where(below, rng.uniform(0.05, 0.15), rng.uniform(0.1, 0.5))) ** 2))
    ground = np.clip((y - rng.uniform(0.55, 0.9)) / 0.05, 0, 1)
    light = np.array([rng.uniform(10, 110), rng.uniform(140, 255), rng.uniform(60, 190)]) * rng.uniform(0.4, 1)
    dark = rgb * np.array([0.30, 0.34, 0.42]) * rng.uniform(0.1, 0.8)
    return rounded(dark + (glow * (1 - 0.8 * ground))[..., None] * light + rng.normal(0, 1.5, rgb.shape))


def in_lab(rgb: Rgb, lift: float, contrast: float, saturation: float) -> Rgb:
    """Lightness raised by `lift` of its range and scaled, chroma scaled."""
    lab = rgb_to_lab(rgb)
    lab[..., 0] = 100 * lift + contrast * lab[..., 0]
    lab[..., 1:] *= saturation
    return lab_to_rgb(lab)


def gains_towards(hue: float, chroma: float) -> NDArray[np.float64]:
    """Gains of red, green and blue that move a mid-grey by `chroma` Lab units towards a hue in radians."""
    grey = np.array([[[65.0, chroma * np.cos(hue), chroma * np.sin(hue)]]], np.float32)
    return np.asarray(lab_to_rgb(grey)[0, 0] / 157.0, np.float64)


def any_cast(rng: np.random.Generator) -> tuple[float, float]:
    """A hue in radians and a chroma in Lab units."""
    return rng.uniform(0, 2 * np.pi), rng.uniform(LEAST, MOST)


def gain_cast(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Gains of the channels."""
    return rounded(rgb * gains_towards(*any_cast(rng)) * rng.uniform(0.85, 1.15))


def lab_cast(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """One colour added everywhere."""
    lab = rgb_to_lab(rgb)
    hue, chroma = any_cast(rng)
    lab[..., 1:] += chroma * np.array([np.cos(hue), np.sin(hue)], np.float32)
    return lab_to_rgb(lab)


def overlay(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A strong colour laid over the picture."""
    share = rng.uniform(0.15, 0.5)
    hue = np.array([[[rng.uniform(0, 360), 1.0, rng.uniform(0.6, 1)]]], np.float32)
    return rounded(rgb * (1 - share) + 255 * cv2.cvtColor(hue, cv2.COLOR_HSV2RGB) * share)


def white_balance(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Gains in linear light along the colours of lamps and skies, or of any hue."""
    linear = (rgb / 255) ** 2.2
    if rng.random() < 0.6:
        linear *= 1 + (LAMPS[rng.integers(2)] - 1) * rng.uniform(0.7, 1.3)
    else:
        linear *= gains_towards(*any_cast(rng)) ** 2.2
    return rounded(255 * np.clip(linear, 0, 1) ** (1 / 2.2))


def curves(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A gamma of its own for each channel, as aged or cross-processed film has."""
    gammas = np.exp(rng.uniform(-0.9, 0.9, 3))
    return rounded(255 * (rgb / 255) ** (gammas / gammas[1]))


def red_blue(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    return swap_channels(rgb, rng)


def other_swap(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    return np.ascontiguousarray(rgb[..., list(OTHER_SWAPS[rng.integers(len(OTHER_SWAPS))])])


def turned_hues(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """All hues turned by one angle; the colours of a negative are among these."""
    lab = rgb_to_lab(rgb)
    turn = rng.uniform(0.25, 1.75) * np.pi
    a, b = lab[..., 1].copy(), lab[..., 2].copy()
    lab[..., 1], lab[..., 2] = a * np.cos(turn) - b * np.sin(turn), a * np.sin(turn) + b * np.cos(turn)
    return lab_to_rgb(lab)


def solarised(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Bright values inverted, from some level on, or along a sine; or all of them."""
    match rng.integers(6):
        case 0:
            return rounded(255 * np.abs(np.sin(rgb / 255 * np.pi)))
        case 1:
            return np.asarray(255 - rgb, np.uint8)
        case 2 | 3:
            return np.where(rgb >= rng.integers(90, 200), 255 - rgb, rgb).astype(np.uint8)
    return solarise(rgb, rng)


def rounded(values: NDArray[np.float64]) -> Rgb:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


GUISES: Mapping[str, Change] = {
    "as it is": lambda rgb, _: rgb,
    "part": part_of_it,
    "guise": clean_guise,
    "guise of a part": lambda rgb, rng: clean_guise(part_of_it(rgb, rng), rng),
    "gain cast": gain_cast,
    "another gain cast": gain_cast,
    "lab cast": lab_cast,
    "another lab cast": lab_cast,
    "overlay": overlay,
    "white balance": white_balance,
    "curves": curves,
    "red and blue swapped": red_blue,
    "red and blue of a part": lambda rgb, rng: swap_channels(part_of_it(rgb, rng), rng),
    "other swap": other_swap,
    "turned hues": turned_hues,
    "single hue": to_single_hue,
    "solarised": solarised,
    "another solarised": solarised,
}
CLEAN = ("as it is", "part", "guise", "guise of a part", "aurora")  # `fit_skewed` adds the last
