"""Measures whether anything is to be seen: the lightest and darkest tones, clipped white, and structure.

Structure is measured at two scales, because a picture without content may have noise and a gradient of its own. The
noise of a sensor is about the same in all blocks, whereas any subject makes some blocks richer than the others. A
gradient follows a smooth surface, from which any subject departs.
"""

from functools import cache

import cv2
import numpy as np

from recolor.cleaning.measure.colour import Planes, percentile
from recolor.color.arrays import Floats, Grey
from recolor.color.lab import rgb_to_lab

CLIPPED_GREY = 250  # JPEG moves clipped white by a few levels
BLOCK_OCTAVE = 2  # averages 16 pixels, which removes most of a sensor's noise
_DARK_OCTAVE = 1  # averages 4 pixels: a twig before snow is still dark
_BLOCK_PX = 8
_EVERY_ROWS = 4  # tones are those of every fourth row
_DEGREE = 4  # of the smooth surface


def measure_exposure(greys: list[Grey]) -> dict[str, float]:
    """Measures tones and structure of one picture.

    Args:
        greys: uint8 [H, W] each, each half as large as the one before, as `octaves` returns them.

    Returns:
        The columns `schemas.EXPOSURE_MEASURES` except `surface_residual`.
    """
    counts = cv2.calcHist([greys[0][::_EVERY_ROWS]], [0], None, [256], [0, 256]).ravel()
    below = np.cumsum(counts, dtype=np.float64)
    dark, light = np.searchsorted(below, below[-1] * np.array([0.01, 0.999]))
    energies = _block_energies(greys[BLOCK_OCTAVE]).reshape(-1)
    lightness = _lightness()
    return {
        "L_p1": float(lightness[dark]),
        "L_p999": float(lightness[light]),
        "L_max": float(lightness[int(greys[BLOCK_OCTAVE].max())]),
        "L_min": float(lightness[int(greys[_DARK_OCTAVE].min())]),
        "clipped": float(counts[CLIPPED_GREY:].sum() / below[-1]),
        "block_energy_median": float(percentile(energies[None], 50)[0]),
        "block_energy_max": float(energies.max()),
    }


def measure_surfaces(squares: Grey) -> Floats:
    """Returns the distances of grey squares from smooth surfaces.

    The surface is the polynomial of degree 4 over rows and columns with the least squared error.

    Args:
        squares: uint8 [N, S, S].

    Returns:
        The 99th percentile of the absolute distances: float64 [N], grey levels.
    """
    curves, kept = _smooth_curves(squares.shape[1])
    values = squares.astype(np.float32)
    coefficients = (curves.T @ values @ curves) * kept
    return percentile(np.abs(values - curves @ coefficients @ curves.T), 99).astype(np.float64)


def _block_energies(grey: Grey) -> Floats:
    """Returns the mean squared Laplacian of blocks of 8 px; of the whole picture if it has no whole block."""
    laplacian = cv2.Laplacian(grey, cv2.CV_16S, borderType=cv2.BORDER_REFLECT_101).astype(np.float32)
    height, width = grey.shape[0] // _BLOCK_PX, grey.shape[1] // _BLOCK_PX
    if not height or not width:
        return np.asarray([np.square(laplacian).mean()], np.float64)
    squares = np.square(laplacian[: height * _BLOCK_PX, : width * _BLOCK_PX])
    energies = cv2.resize(squares, (width, height), interpolation=cv2.INTER_AREA)  # the mean of each block
    return np.asarray(energies, np.float64)


@cache
def _lightness() -> Floats:
    """Returns L of each grey level: float64 [256]."""
    return np.asarray(rgb_to_lab(np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1))[:, 0], np.float64)


@cache
def _smooth_curves(side: int) -> tuple[Planes, Planes]:
    """Returns orthonormal polynomials of degree 0 to 4, and which products of two have a degree of at most 4.

    Products of orthonormal polynomials along rows and columns are orthonormal over the square.

    Returns:
        float32 [side, 5], and 0 or 1, float32 [5, 5].
    """
    powers = np.linspace(-1.0, 1.0, side)[:, None] ** np.arange(_DEGREE + 1)
    degrees = np.add.outer(np.arange(_DEGREE + 1), np.arange(_DEGREE + 1))
    return np.linalg.qr(powers)[0].astype(np.float32), (degrees <= _DEGREE).astype(np.float32)
