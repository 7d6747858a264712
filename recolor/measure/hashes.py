"""Perceptual hashes of a picture and of its seven flips and rotations, all from one cosine transform.

The hash is imagehash's pHash: the low frequencies of the DCT-II, each compared with their median. Mirroring a picture
changes the sign of its odd coefficients, transposing it transposes them, so that the other hashes need no other
transform.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.schemas import SYMMETRIES

HASH_PX = 64  # side of the squares that are transformed
WINDOWS = 3  # along each side
WINDOW_SHARE = 0.92  # of each side: finds crops of 3% to 10%, see docs/decisions/2026-11-detectors.md

# For each symmetry: transposed first?, then mirrored left-right?, top-bottom? Rotations are clockwise.
_STEPS = (
    (False, False, False),
    (False, True, False),
    (False, False, True),
    (False, True, True),
    (True, False, False),
    (True, True, False),
    (True, False, True),
    (True, True, True),
)


def apply_symmetry(picture: NDArray[np.uint8], symmetry: str) -> NDArray[np.uint8]:
    """Flips or rotates a picture, uint8 [H, W, ...], as the hash of that one of `SYMMETRIES` sees it."""
    transposed, mirrored, upside_down = _STEPS[SYMMETRIES.index(symmetry)]
    picture = picture.swapaxes(0, 1) if transposed else picture
    picture = picture[:, ::-1] if mirrored else picture
    return picture[::-1] if upside_down else picture


def phash_symmetries(square: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Hashes a square grey picture under the 8 symmetries.

    Args:
        square: uint8 [4 side, 4 side]; imagehash's picture after its resize.
        side: 8 for 64 bits, 16 for 256.

    Returns:
        uint8 [8, side² / 8]: one hash a symmetry in the order of `SYMMETRIES`, bits in imagehash's order, so that
        `.tobytes().hex()` of a row is `str(imagehash.phash(picture, side))`.
    """
    basis = _low_frequencies(len(square), side)
    # Rounded, so that coefficients that are zero but for rounding fall on the same side under every symmetry.
    low = (basis @ square.astype(np.float64) @ basis.T).round(3)
    variants = _signs(side) * np.where(_transposed(), low.T, low)
    medians = np.median(variants.reshape(8, -1), axis=1)
    return np.packbits(variants.reshape(8, -1) > medians[:, None], axis=1)


def hash_grey(grey: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Hashes a grey picture.

    Args:
        grey: uint8 [H, W].

    Returns:
        The 64-bit and the 256-bit hashes under the 8 symmetries: 64 and 256 bytes.
    """
    square = np.asarray(cv2.resize(grey, (HASH_PX, HASH_PX), interpolation=cv2.INTER_AREA), np.uint8)
    small = np.asarray(cv2.resize(square, (HASH_PX // 2, HASH_PX // 2), interpolation=cv2.INTER_AREA), np.uint8)
    return phash_symmetries(small, 8).tobytes(), phash_symmetries(square, 16).tobytes()


def hash_windows(grey: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Hashes of nine parts of a grey picture, as its crops would have them: 92% of each side, at three places along it.

    Taking a window, shrinking it by area and its cosine transform are all linear, so that one matrix product on the
    square of the whole picture does all nine.

    Args:
        grey: uint8 [H, W].

    Returns:
        The 64-bit and the 256-bit hashes of the windows, row by row from the top left: 72 and 288 bytes.
    """
    square = cv2.resize(grey, (HASH_PX, HASH_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
    few, many = (np.packbits(_window_bits(square, side), axis=1).tobytes() for side in (8, 16))
    return few, many


def _window_bits(square: NDArray[np.float64], side: int) -> NDArray[np.bool_]:
    """Which low frequencies are over their window's median: bool [9, side²]."""
    operator = _window_operator(side)
    low = (operator @ square @ operator.T).reshape(WINDOWS, side, WINDOWS, side)
    coefficients = low.swapaxes(1, 2).reshape(WINDOWS**2, side * side)
    bits: NDArray[np.bool_] = coefficients > np.median(coefficients, axis=1)[:, None]
    return bits


@cache
def _window_operator(side: int) -> NDArray[np.float64]:
    """Area means of each window along an axis, then their low frequencies: float64 [3 side, 64]."""
    size, pixel = 4 * side, np.arange(HASH_PX)
    operators = []
    for start in np.linspace(0.0, HASH_PX * (1 - WINDOW_SHARE), WINDOWS):
        edges = start + HASH_PX * WINDOW_SHARE * np.arange(size + 1) / size
        overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        area = np.clip(overlap, 0.0, None) * size / (HASH_PX * WINDOW_SHARE)
        operators.append(_low_frequencies(size, side) @ area)
    return np.concatenate(operators)


@cache
def _low_frequencies(size: int, side: int) -> NDArray[np.float64]:
    """The first `side` rows of the DCT-II, unnormalised as in scipy.fftpack: float64 [side, size]."""
    k, n = np.arange(side)[:, None], np.arange(size)[None, :]
    return 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * size))


@cache
def _signs(side: int) -> NDArray[np.float64]:
    """What mirroring does to the coefficients: float64 [8, side, side] of ±1."""
    odd = (-1.0) ** np.arange(side)
    ones = np.ones(side)
    rows = [np.outer(odd if vertical else ones, odd if horizontal else ones) for _, horizontal, vertical in _STEPS]
    return np.stack(rows)


@cache
def _transposed() -> NDArray[np.bool_]:
    return np.array([transposed for transposed, _, _ in _STEPS])[:, None, None]
