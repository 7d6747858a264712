"""Perceptual hashes of an image, of its flips and rotations, and of windows of it, from one DCT.

The hash is imagehash's pHash: each low frequency of the DCT-II is compared with their median. Mirroring an image
changes the sign of its odd coefficients, and transposing it transposes them. The hashes of the flips and rotations
therefore need no further transform.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.measure.sharpness import halve
from recolor.cleaning.symmetries import STEPS
from recolor.cleaning.windows import BLOCKS, Span
from recolor.manifests.schemas import THUMBNAIL_PX

HASH_PX = 64  # side of the squares that are transformed
_WINDOW_SIDE = 8  # of the hashes of windows


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


def hash_windows(squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the 64-bit hashes of windows of grey squares.

    Other images, which may be crops, are compared with them. Cropping, area resampling and the cosine transform are
    linear, so one matrix product does all three.

    Args:
        squares: uint8 [N, 64, 64].

    Returns:
        The hashes of `windows.WINDOWS`, in that order: uint8 [N, 408].
    """
    values = squares.astype(np.float64)
    hashes = [_block_hashes(values, down, across) for down, across in BLOCKS]
    return np.concatenate(hashes, axis=1).reshape(len(squares), -1)


def make_thumbnails(squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns small grey copies, from which `detect.alignment` tells whether two pictures are one.

    Args:
        squares: uint8 [N, 64, 64].

    Returns:
        uint8 [N, 576]: 24 x 24 means, stretched from 0 to 255 to lose little by rounding; all 0 if they are equal.
    """
    area = _area((0.0, 1.0), THUMBNAIL_PX)
    means = (area @ squares.astype(np.float64) @ area.T).reshape(len(squares), -1)
    least = means.min(axis=1, keepdims=True)
    stretch = 255.0 / np.maximum(means.max(axis=1, keepdims=True) - least, 1e-6)
    return np.asarray(np.rint((means - least) * np.where(stretch > 255e5, 0.0, stretch)), np.uint8)


def _bits_over_median(rows: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Returns which values are above the median of their row, packed: uint8 [..., values / 8].

    Rows have an even number of values. This takes a third of the time of `numpy.median`.
    """
    upper = rows.shape[-1] // 2
    middle = np.partition(rows, (upper - 1, upper), axis=-1)[..., upper - 1 : upper + 1]
    return np.packbits(rows > middle.mean(axis=-1, keepdims=True), axis=-1)


def _block_hashes(squares: NDArray[np.float64], down: tuple[Span, ...], across: tuple[Span, ...]) -> NDArray[np.uint8]:
    """Returns which low frequencies are above the median of their window.

    Returns:
        uint8 [N, windows, 8].
    """
    side = _WINDOW_SIDE
    rows, columns = _window_operator(down), _window_operator(across).T
    # The smaller product first.
    low = (rows @ squares) @ columns if len(down) <= len(across) else rows @ (squares @ columns)
    cut = low.reshape(-1, len(down), side, len(across), side).swapaxes(2, 3)
    return _bits_over_median(cut.reshape(len(squares), -1, side * side))


@cache
def _window_operator(spans: tuple[Span, ...]) -> NDArray[np.float64]:
    """Returns the matrix of area resampling and DCT of each span along an axis.

    Returns:
        float64 [8 spans, 64].
    """
    size = 4 * _WINDOW_SIDE
    return np.concatenate([_low_frequencies(size, _WINDOW_SIDE) @ _area(span, size) for span in spans])


@cache
def _area(span: Span, size: int) -> NDArray[np.float64]:
    """Returns the matrix of area resampling of a span of 64 pixels: float64 [size, 64]."""
    start, end = span
    pixel, edges = np.arange(HASH_PX), HASH_PX * (start + (end - start) * np.arange(size + 1) / size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    share: NDArray[np.float64] = np.clip(overlap, 0.0, None) * size / (HASH_PX * (end - start))
    return share


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
    rows = [np.outer(odd if vertical else ones, odd if horizontal else ones) for _, horizontal, vertical in STEPS]
    return np.stack(rows)


@cache
def _transposed() -> NDArray[np.bool_]:
    return np.array([transposed for transposed, _, _ in STEPS])[:, None, None]
