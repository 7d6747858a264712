"""Edits of a photograph that collections hold as copies of it: exposure, colour, frames, cuts, marks, enlargements."""

from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.color.lab import lab_to_rgb, rgb_to_lab

Rgb = NDArray[np.uint8]
Edit = Callable[[Rgb, np.random.Generator], Rgb]


def gain(rgb: Rgb, _: np.random.Generator, *, gains: tuple[float, float, float]) -> Rgb:
    """Multiplies red, green and blue, and clips."""
    return _rounded(rgb * np.array(gains))


def gamma(rgb: Rgb, _: np.random.Generator, *, exponent: float) -> Rgb:
    return _rounded(255.0 * (rgb / 255.0) ** exponent)


def saturate(rgb: Rgb, _: np.random.Generator, *, factor: float) -> Rgb:
    """Multiplies a and b in CIELAB."""
    lab = rgb_to_lab(rgb)
    lab[..., 1:] *= factor
    return lab_to_rgb(lab)


def frame(rgb: Rgb, rng: np.random.Generator, *, level: int) -> Rgb:
    """A frame of one colour, as wide as 2% to 8% of the short side."""
    width_px = max(2, round(min(rgb.shape[:2]) * rng.uniform(0.02, 0.08)))
    return np.pad(rgb, ((width_px, width_px), (width_px, width_px), (0, 0)), constant_values=level)


def letterbox(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Black bars above and below."""
    height_px = round(len(rgb) * rng.uniform(0.06, 0.15))
    return np.pad(rgb, ((height_px, height_px), (0, 0), (0, 0)))


def cut_side(rgb: Rgb, rng: np.random.Generator, *, share: float) -> Rgb:
    """A share cut from one of the four sides."""
    turns = int(rng.integers(4))
    turned = np.rot90(rgb, turns)
    return np.ascontiguousarray(np.rot90(turned[:, round(turned.shape[1] * share) :], -turns))


def cut_edges(rgb: Rgb, _: np.random.Generator, *, edges: tuple[float, float, float, float]) -> Rgb:
    """Shares of height and width cut from the top, right, bottom and left."""
    top, right, bottom, left = edges
    height_px, width_px = rgb.shape[:2]
    rows = slice(round(height_px * top), height_px - round(height_px * bottom))
    return np.ascontiguousarray(rgb[rows, round(width_px * left) : width_px - round(width_px * right)])


def watermark(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """White letters across the middle, at 35% to 60% of opacity."""
    height_px, width_px = rgb.shape[:2]
    letters = np.zeros((height_px, width_px), np.uint8)
    words, font = "SAMPLE PHOTO", cv2.FONT_HERSHEY_DUPLEX
    scale = 0.8 * width_px / cv2.getTextSize(words, font, 1.0, 1)[0][0]
    place = (round(0.1 * width_px), round(height_px * rng.uniform(0.4, 0.7)))
    cv2.putText(letters, words, place, font, scale, 255, max(1, round(2 * scale)), cv2.LINE_AA)
    share = letters[..., None] / 255.0 * rng.uniform(0.35, 0.6)
    return _rounded(rgb * (1 - share) + 255.0 * share)


def resize(rgb: Rgb, _: np.random.Generator, *, factor: float) -> Rgb:
    """Bicubic if enlarged, means over areas if shrunk."""
    how = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=how), np.uint8)


def _rounded(values: NDArray[np.float64]) -> Rgb:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


EDITS: Mapping[str, Edit] = {
    "exposure_25": partial(gain, gains=(1.25, 1.25, 1.25)),
    "gamma_0.7": partial(gamma, exponent=0.7),
    "warm": partial(gain, gains=(1.15, 1.0, 0.8)),
    "saturation_1.5": partial(saturate, factor=1.5),
    "white_frame": partial(frame, level=255),
    "black_frame": partial(frame, level=0),
    "letterbox": letterbox,
    "cut_side_15": partial(cut_side, share=0.15),
    "cut_top_12": partial(cut_edges, edges=(0.12, 0.0, 0.0, 0.0)),
    "cut_left_10": partial(cut_edges, edges=(0.0, 0.0, 0.0, 0.1)),
    "cut_around_7": partial(cut_edges, edges=(0.075, 0.075, 0.075, 0.075)),
    "cut_around_10": partial(cut_edges, edges=(0.1, 0.1, 0.1, 0.1)),
    "watermark": watermark,
    "shrunk_2": partial(resize, factor=0.5),
    "enlarged_2": partial(resize, factor=2.0),
}
