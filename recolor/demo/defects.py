"""Defects of pictures: no colour, wrong colour, blur, nothing to see, low resolution."""

from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import RGB, Grey
from recolor.color.lab import lab_to_rgb, rgb_to_lab

Defect = Callable[[RGB, np.random.Generator], RGB]

# Blur is specified for a picture with this short side and scaled to the picture's size.
_BLUR_SIDE_PX = 288


def to_grey(rgb: RGB, _: np.random.Generator) -> Grey:
    """Returns the luma (ITU-R BT.601) as one channel, uint8 [H,W]."""
    return _rounded(_luma(rgb) * 255.0)


def to_grey_rgb(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Returns the luma in all three channels."""
    return np.repeat(to_grey(rgb, rng)[..., None], 3, axis=2)


def to_sepia(rgb: RGB, _: np.random.Generator) -> RGB:
    """Applies the matrix of CSS's `sepia()` (W3C Filter Effects, 9.6)."""
    matrix = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
    return _rounded(rgb @ matrix.T)


def to_duotone(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Maps luma to a gradient from a dark ink to a light one."""
    inks = ((20, 24, 72), (250, 214, 160)), ((48, 12, 52), (160, 232, 214)), ((10, 56, 60), (255, 226, 190))
    dark, light = np.array(inks[int(rng.integers(len(inks)))], np.float64)
    return _rounded(dark + (light - dark) * _luma(rgb)[..., None])


def tint(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Multiplies grey by a pale colour, as toned photographic paper has."""
    papers = np.array(((1.0, 0.94, 0.80), (0.82, 0.92, 1.0), (0.86, 1.0, 0.84), (1.0, 0.86, 0.86)))
    return _rounded(_luma(rgb)[..., None] * 255.0 * papers[int(rng.integers(len(papers)))])


def cast(rgb: RGB, _: np.random.Generator, *, gains: tuple[float, float, float]) -> RGB:
    """Multiplies red, green and blue by gains: a wrong white balance."""
    return _rounded(rgb * np.array(gains))


def swap_channels(rgb: RGB, _: np.random.Generator) -> RGB:
    """Swaps red and blue, as if BGR were read as RGB."""
    return np.ascontiguousarray(rgb[..., ::-1])


def to_single_hue(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Changes every colour to one hue; lightness and chroma stay."""
    lab = rgb_to_lab(rgb)
    hue = rng.uniform(0.0, 2.0 * np.pi)
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    lab[..., 1], lab[..., 2] = chroma * np.cos(hue), chroma * np.sin(hue)
    return lab_to_rgb(lab)


def blur(rgb: RGB, _: np.random.Generator, *, sigma_px: float) -> RGB:
    """Applies a Gaussian blur, as an out-of-focus picture has."""
    sigma_px *= min(rgb.shape[:2]) / _BLUR_SIDE_PX
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px), np.uint8)


def blur_by_motion(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Averages along a line of 1/20 of the short side, as camera shake does."""
    length_px = max(3, min(rgb.shape[:2]) // 20 | 1)
    kernel = np.zeros((length_px, length_px), np.float32)
    angle, half = rng.uniform(0.0, np.pi), length_px / 2 - 0.5
    along = np.linspace(-half, half, 8 * length_px)
    rows, columns = np.rint(half + along * np.sin(angle)), np.rint(half + along * np.cos(angle))
    kernel[rows.astype(np.intp), columns.astype(np.intp)] = 1.0
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)


def upscale(rgb: RGB, _: np.random.Generator) -> RGB:
    """Reduces to a quarter of the size and enlarges to the original size."""
    height_px, width_px = rgb.shape[:2]
    small = cv2.resize(rgb, (width_px // 4, height_px // 4), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width_px, height_px), interpolation=cv2.INTER_CUBIC), np.uint8)


def blacken(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Returns the noise of a sensor behind a closed lens cap."""
    return _rounded(3.0 + rng.normal(0.0, 2.0, rgb.shape))


def underexpose(rgb: RGB, rng: np.random.Generator, *, stops: float) -> RGB:
    """Divides the light by 2 to the power of `stops` and adds the noise of a sensor: a night without detail."""
    return _rounded(rgb.astype(np.float64) / 2.0 ** (stops / 2.2) + rng.normal(0.0, 1.5, rgb.shape))


def overexpose(rgb: RGB, _: np.random.Generator, *, lightest: float) -> RGB:
    """Multiplies the light until a share `lightest` of the pixels is white; some detail remains in the shadows."""
    darkest_channel = rgb.min(axis=2).astype(np.float64)
    return _rounded(rgb.astype(np.float64) * (255.0 / max(float(np.quantile(darkest_channel, 1.0 - lightest)), 1.0)))


def empty(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Returns one colour all over, with the noise of a sensor."""
    return _rounded(rng.uniform(20.0, 235.0, 3) + rng.normal(0.0, 2.0, rgb.shape))


def fade(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Returns a smooth gradient between two colours from top to bottom, with the noise of a sensor."""
    top, bottom = rng.uniform(20.0, 235.0, (2, 3))
    share = np.linspace(0.0, 1.0, len(rgb))[:, None, None]
    return _rounded(top + (bottom - top) * share + rng.normal(0.0, 1.0, rgb.shape))


def shrink(rgb: RGB, _: np.random.Generator, *, side_px: int) -> RGB:
    """Resizes the short side to `side_px`."""
    height_px, width_px = rgb.shape[:2]
    scale = side_px / min(height_px, width_px)
    size = round(width_px * scale), round(height_px * scale)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def keep(rgb: RGB, _: np.random.Generator) -> RGB:
    """Returns the picture unchanged: its defect is its aspect ratio."""
    return rgb


def _luma(rgb: RGB) -> NDArray[np.float64]:
    return np.asarray(rgb @ np.array([0.299, 0.587, 0.114]) / 255.0)


def _rounded(values: NDArray[np.float64]) -> RGB:
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)


DEFECTS: Mapping[str, Mapping[str, Defect]] = {
    "monochrome": {
        "mode_l": to_grey,
        "grey_rgb": to_grey_rgb,
        "sepia": to_sepia,
        "duotone": to_duotone,
        "tinted": tint,
    },
    "skewed": {
        "orange_cast": partial(cast, gains=(1.3, 0.9, 0.45)),
        "blue_cast": partial(cast, gains=(0.5, 0.85, 1.35)),
        "green_cast": partial(cast, gains=(0.55, 1.2, 0.55)),
        "magenta_cast": partial(cast, gains=(1.25, 0.55, 1.15)),
        "swapped_channels": swap_channels,
        "single_hue": to_single_hue,
    },
    "blurry": {
        "gaussian_2": partial(blur, sigma_px=2.0),
        "gaussian_4": partial(blur, sigma_px=4.0),
        "gaussian_8": partial(blur, sigma_px=8.0),
        "motion": blur_by_motion,
        "upscaled": upscale,
    },
    "exposure": {
        "black": blacken,
        "night": partial(underexpose, stops=8.0),
        "blown_out": partial(overexpose, lightest=0.85),
        "blank": empty,
        "gradient": fade,
    },
    "low_resolution": {
        "short_side_96": partial(shrink, side_px=96),
        "short_side_160": partial(shrink, side_px=160),
        "short_side_240": partial(shrink, side_px=240),
    },
    "extreme_aspect": {"panorama": keep, "banner": keep, "column": keep},
}

# The shapes (width, height in pixels) of the pictures whose defect is their shape.
SHAPES_PX: Mapping[str, tuple[int, int]] = {"panorama": (832, 280), "banner": (640, 272), "column": (264, 640)}
