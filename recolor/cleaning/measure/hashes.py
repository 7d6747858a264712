"""Perceptual hashes of an image and of its flips and rotations, from one DCT.

The hash is imagehash's pHash: each low frequency of the DCT-II is compared with their median. Mirroring an image
changes the sign of its odd coefficients, and transposing it transposes them. The hashes of the flips and rotations
therefore need no further transform.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.measure.sharpness import halve
from recolor.manifests.schemas import SYMMETRIES

HASH_PX = 64  # side of the squares that are transformed
WINDOWS = 3  # along each side
WINDOW_SHARE = 0.92  # of each side: finds crops of 3% to 10%, see docs/decisions/2026-11-detectors.md

# For each symmetry: whether to transpose, then to mirror left-right, then top-bottom. Rotations are clockwise.
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
    """Returns an image, uint8 [H, W, ...], flipped or rotated by one of `SYMMETRIES`."""
    transposed, mirrored, upside_down = _STEPS[SYMMETRIES.index(symmetry)]
    picture = picture.swapaxes(0, 1) if transposed else picture
    picture = picture[:, ::-1] if mirrored else picture
    return picture[::-1] if upside_down else picture


def phash_symmetries(squares: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Returns the hashes of square grey images under the 8 symmetries.

    Args:
        squares: uint8 [N, 4 side, 4 side]; the resized images of imagehash.
        side: 8 for 64 bits, 16 for 256.

    Returns:
        uint8 [N, 8, side² / 8]: one hash for each of `SYMMETRIES`, in that order. The bits are in imagehash's order:
        `.tobytes().hex()` of a hash equals `str(imagehash.phash(picture, side))`.
    """
    basis = _low_frequencies(squares.shape[1], side)
    # Rounded, so that coefficients that are zero up to rounding errors give the same bit under every symmetry.
    low = (basis @ squares.astype(np.float64) @ basis.T).round(3)[:, None]
    variants = _signs(side) * np.where(_transposed(), low.swapaxes(2, 3), low)
    return _bits_over_median(variants.reshape(len(squares), 8, -1))


def hash_squares(squares: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns the hashes of grey squares, uint8 [N, 64, 64].

    Returns:
        The 64-bit and the 256-bit hashes under the 8 symmetries: uint8 [N, 64] and [N, 256].
    """
    halves = np.stack([halve(square) for square in squares])
    few, many = phash_symmetries(halves, 8), phash_symmetries(squares, 16)
    return few.reshape(len(squares), -1), many.reshape(len(squares), -1)


def hash_windows(squares: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns the hashes of nine windows of grey squares.

    Other images, which may be crops, are compared with them. A window has 92% of each side, at one of three positions
    along it. Cropping, area resampling and the cosine transform are linear, so one matrix product does all three.

    Args:
        squares: uint8 [N, 64, 64].

    Returns:
        The 64-bit and the 256-bit hashes of the windows, row by row from the top left: uint8 [N, 72] and [N, 288].
    """
    values = squares.astype(np.float64)
    few, many = (_window_hashes(values, side).reshape(len(squares), -1) for side in (8, 16))
    return few, many


def _bits_over_median(rows: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Returns which values are above the median of their row, packed: uint8 [..., values / 8].

    Rows have an even number of values. This takes a third of the time of `numpy.median`.
    """
    upper = rows.shape[-1] // 2
    middle = np.partition(rows, (upper - 1, upper), axis=-1)[..., upper - 1 : upper + 1]
    return np.packbits(rows > middle.mean(axis=-1, keepdims=True), axis=-1)


def _window_hashes(squares: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Returns which low frequencies are above the median of their window.

    Returns:
        uint8 [N, 9, side² / 8].
    """
    operator = _window_operator(side)
    low = (operator @ squares @ operator.T).reshape(-1, WINDOWS, side, WINDOWS, side)
    return _bits_over_median(low.swapaxes(2, 3).reshape(-1, WINDOWS**2, side * side))


@cache
def _window_operator(side: int) -> NDArray[np.float64]:
    """Returns the matrix of area resampling and DCT of each window along an axis.

    Returns:
        float64 [3 side, 64].
    """
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
    """Returns the first `side` rows of the DCT-II, unnormalised as in scipy.fftpack.

    Returns:
        float64 [side, size].
    """
    k, n = np.arange(side)[:, None], np.arange(size)[None, :]
    return 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * size))


@cache
def _signs(side: int) -> NDArray[np.float64]:
    """Returns the sign of each coefficient under each symmetry's mirroring.

    Returns:
        float64 [8, side, side] of ±1.
    """
    odd = (-1.0) ** np.arange(side)
    ones = np.ones(side)
    rows = [np.outer(odd if vertical else ones, odd if horizontal else ones) for _, horizontal, vertical in _STEPS]
    return np.stack(rows)


@cache
def _transposed() -> NDArray[np.bool_]:
    return np.array([transposed for transposed, _, _ in _STEPS])[:, None, None]
