"""Photographs with their colours spoilt: what `skewed` is to find.

Pictures are float32 [H, W, 3], sRGB from 0 to 1. Every defect also says by how many Lab units it moves a mid-grey, or
the picture's colours on average: nobody would object to 10.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from colour_guises import TURN, Picture, clean_guise, from_lab, gains_towards, part_of_it, to_lab
from numpy.typing import NDArray

Defect = Callable[[Picture, np.random.Generator], tuple[Picture, float]]

LEAST, MOST = 12.0, 60.0  # Lab units by which a cast moves a mid-grey
ORDERS = ((1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1))
LAMPS = np.array([1.5, 1.0, 0.45]), np.array([0.55, 1.0, 1.75])  # about 3,000 K of error, in linear light
_GREY = 0.46
_DAYLIGHT_K = 6500.0
_XYZ_TO_RGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556], [0.0556434, -0.2040259, 1.0572252]]
)


def gain_cast(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """Gains of the channels."""
    chroma = _any_chroma(rng)
    return _clipped(picture * gains_towards(rng.uniform(0, TURN), chroma) * np.float32(rng.uniform(0.85, 1.15))), chroma


def lab_cast(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """One colour added everywhere."""
    chroma = _any_chroma(rng)
    hue = rng.uniform(0, TURN)
    lab = to_lab(picture)
    lab[..., 1] += chroma * np.cos(hue)
    lab[..., 2] += chroma * np.sin(hue)
    return from_lab(lab), chroma


def blended(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """A colour laid over the picture: normal, multiplied, in soft light, or on a screen."""
    share = np.float32(rng.uniform(0.12, 0.55))
    hue, saturation, value = rng.uniform(0, 360), rng.uniform(0.6, 1), rng.uniform(0.6, 1)
    colour = _from_hsv(hue, saturation, value)
    mode = rng.integers(5)
    if mode >= 2:
        share = min(np.float32(1), np.float32(1.8) * share)

    def blend(v: Picture) -> Picture:
        layer = (colour, colour, v * colour, (1 - 2 * colour) * v * v + 2 * colour * v, 1 - (1 - v) * (1 - colour))
        return _clipped(v * (1 - share) + share * layer[mode])

    return blend(picture), _chroma_of(blend, _GREY)


def white_balance(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """Gains in linear light: lamps read as daylight and the reverse, or 70 to 230 mired of error."""
    if rng.random() < 0.5:
        gains = 1 + (LAMPS[rng.integers(2)] - 1) * rng.uniform(0.55, 1.35)
    else:
        mired = rng.uniform(70, 230) * (1 if rng.random() < 0.5 else -1)
        gains = _light(1e6 / np.clip(1e6 / _DAYLIGHT_K + mired, 40, 500)) / _light(_DAYLIGHT_K) * rng.uniform(0.85, 1.1)

    def balance(v: Picture) -> Picture:
        return _clipped(v ** np.float32(2.2) * gains.astype(np.float32)) ** np.float32(1 / 2.2)

    return balance(picture), _chroma_of(balance, _GREY)


def curves(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """A curve of its own for each channel: a gamma as of aged film, or S-curves as of cross-processing."""
    if rng.random() < 0.6:
        gammas = np.exp(rng.uniform(-0.9, 0.9, 3))
        gammas = (gammas / gammas[1]).astype(np.float32)
        return _with_curve(picture, lambda v: v**gammas)
    low = rng.uniform(0, 0.3, 3) * (rng.random(3) < 0.5)
    high = 1 - rng.uniform(0, 0.3, 3) * (rng.random(3) < 0.5)
    bend = rng.uniform(0, 1, 3) * (rng.random(3) < 0.7)
    low, high, bend = (values.astype(np.float32) for values in (low, high, bend))
    return _with_curve(picture, lambda v: low + (high - low) * ((1 - bend) * v + bend * (3 * v * v - 2 * v * v * v)))


def coloured_blacks(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """Shadows lifted to a colour."""
    hue, saturation, value = rng.uniform(0, 360), rng.uniform(0.5, 1), rng.uniform(0.25, 0.6)
    colour = _from_hsv(hue, saturation, value)
    return picture * (1 - colour) + colour, _chroma_of(lambda v: v * (1 - colour) + colour, 0.1)


def red_and_blue_swapped(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """The channels in reverse order."""
    del rng
    return _moved(picture, np.ascontiguousarray(picture[..., ::-1]))


def channels_swapped(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """The channels in any of the other four wrong orders."""
    return _moved(picture, np.ascontiguousarray(picture[..., list(ORDERS[rng.integers(len(ORDERS))])]))


def turned_hues(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """All hues turned by one angle."""
    lab = to_lab(picture)
    turn = rng.uniform(0.22, 1.78) * np.pi
    a, b = lab[..., 1].copy(), lab[..., 2].copy()
    lab[..., 1], lab[..., 2] = a * np.cos(turn) - b * np.sin(turn), a * np.sin(turn) + b * np.cos(turn)
    return _moved(picture, from_lab(lab))


def one_hue(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """Every colour turned to one hue, in some with more chroma in the greys."""
    lab = to_lab(picture)
    hue, chroma = rng.uniform(0, TURN), np.hypot(lab[..., 1], lab[..., 2])
    if rng.random() < 0.3:
        chroma = chroma * rng.uniform(0.5, 1) + rng.uniform(0, 25)
    lab[..., 1], lab[..., 2] = chroma * np.cos(hue), chroma * np.sin(hue)
    made, distance = _moved(picture, from_lab(lab))
    return made, max(distance, float(chroma.mean()))


def solarised(picture: Picture, rng: np.random.Generator) -> tuple[Picture, float]:
    """Values inverted from the middle or another level on, or along a sine; or all of them."""
    kind = rng.integers(8)
    if kind < 6:
        level = 0.5 if kind < 4 else rng.uniform(0.35, 0.8)
        return _moved(picture, np.where(picture >= level, 1 - picture, picture).astype(np.float32))
    if kind == 6:
        return _moved(picture, np.abs(np.sin(picture * np.pi)).astype(np.float32))
    return _moved(picture, 1 - picture)


DEFECTS: tuple[tuple[Defect, int], ...] = (  # how often each is planted into a photograph
    *((gain_cast, 5), (lab_cast, 5), (blended, 5), (white_balance, 4), (curves, 2), (coloured_blacks, 1)),
    *((red_and_blue_swapped, 3), (channels_swapped, 2), (turned_hues, 2), (one_hue, 4), (solarised, 4)),
)


def spoilt_copies(picture: Picture, rng: np.random.Generator) -> Iterator[tuple[int, Picture, float]]:
    """A picture, or a part or guise of it, with each defect as often as `DEFECTS` says.

    Yields:
        The row of `DEFECTS`, the spoilt picture, and by how many Lab units it was spoilt.
    """
    for kind, (defect, count) in enumerate(DEFECTS):
        for _ in range(count):
            base = part_of_it(picture, rng) if rng.random() < 0.7 else picture
            base = clean_guise(base, rng) if rng.random() < 0.25 else base
            yield kind, *defect(base, rng)


def _any_chroma(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(LEAST), np.log(MOST))))


def _from_hsv(hue: float, saturation: float, value: float) -> Picture:
    colour = np.array([[[hue, saturation, value]]], np.float32)
    return np.asarray(cv2.cvtColor(colour, cv2.COLOR_HSV2RGB)[0, 0], np.float32)


def _light(kelvin: float) -> NDArray[np.float64]:
    """Linear red, green and blue of a black body, green 1 (Krystek 1985)."""
    T = kelvin
    u = (0.860117757 + 1.54118254e-4 * T + 1.28641212e-7 * T * T) / (1 + 8.42420235e-4 * T + 7.08145163e-7 * T * T)
    v = (0.317398726 + 4.22806245e-5 * T + 4.20481691e-8 * T * T) / (1 - 2.89741816e-5 * T + 1.61456053e-7 * T * T)
    x, y = 3 * u / (2 * u - 8 * v + 4), 2 * v / (2 * u - 8 * v + 4)
    rgb = np.maximum(_XYZ_TO_RGB @ np.array([x / y, 1, (1 - x - y) / y]), 1e-3)
    return np.asarray(rgb / rgb[1], np.float64)


def _chroma_of(change: Callable[[Picture], Picture], grey: float) -> float:
    """The chroma that a change gives a grey."""
    lab = to_lab(_clipped(change(np.full((1, 1, 3), grey, np.float32))))[0, 0]
    return float(np.hypot(lab[1], lab[2]))


def _with_curve(picture: Picture, curve: Callable[[Picture], Picture]) -> tuple[Picture, float]:
    return _clipped(curve(picture)), max(_chroma_of(curve, grey) for grey in (0.2, _GREY, 0.8))


def _moved(before: Picture, after: Picture) -> tuple[Picture, float]:
    """A picture, and the mean distance of its colours from those before."""
    difference = to_lab(before) - to_lab(after)
    return after, float(np.sqrt((difference * difference).sum(axis=-1)).mean())


def _clipped(values: NDArray[np.floating]) -> Picture:
    return np.clip(values, 0, 1).astype(np.float32)
