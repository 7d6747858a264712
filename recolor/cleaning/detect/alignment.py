"""Whether two pictures are one, from their thumbnails laid over each other.

A window of one thumbnail is moved and scaled by a few percent until it fits the other best (Gauss-Newton; Baker and
Matthews 2004). Then the details of both are correlated. Each detail is divided by the contrast around it, so neither a
change of exposure, gamma or colour matters, nor a gradient that two skies have in common.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.symmetries import apply_symmetry
from recolor.color.arrays import Floats
from recolor.manifests.schemas import SYMMETRIES, THUMBNAIL_PX

Thumbnails = NDArray[np.uint8]
Planes = NDArray[np.float32]

_TOGETHER = 1024  # pairs per batch, 25 MB
_AROUND = 2  # pixels on each side whose mean and contrast are the surroundings of a pixel
_NOISE = 4.0  # grey levels of 255: contrast below it is rounding and compression
_STRUCTURE = 8.0  # grey levels of 255: contrast below it is plain
_FITS = 0.9  # a first fit as good as this is not improved
_HOPELESS = 0.3  # nor one whose details correlate less than this: copies exceed 0.45
_STEPS = 3
_RIDGE = 0.02  # keeps a picture without detail along an axis in place
_MAX_MOVE = 0.08  # of a side: the distance between two windows, and more


def similarities(one: Thumbnails, other: Thumbnails, windows: Floats, other_windows: Floats | None = None) -> Floats:
    """Returns how alike two pictures are where they overlap.

    Args:
        one: uint8 [pairs, 24, 24].
        other: uint8 [pairs, 24, 24].
        windows: float [pairs, 4]: left, right, top and bottom of the part of `one` that `other` shows, about.
        other_windows: float [pairs, 4]: the part of `other` that shows this; all of it if None.

    Returns:
        float64 [pairs], up to 1: copies exceed 0.7, other pictures rarely 0.5. 1 if a thumbnail is unknown (all 0).
    """
    found = np.ones(len(one), np.float64)
    known = np.flatnonzero(one.any(axis=(1, 2)) & other.any(axis=(1, 2)))
    for start in range(0, len(known), _TOGETHER):
        some = known[start : start + _TOGETHER]
        first, second = one[some].astype(np.float32), other[some].astype(np.float32)
        if other_windows is not None:
            second = _cut(second, other_windows[some].astype(np.float32))
        found[some] = _similarities(first, second, windows[some].astype(np.float32))
    return found


def structured_shares(thumbnails: Thumbnails) -> Floats:
    """Returns the share of each thumbnail, uint8 [N, 24, 24], that is not plain: float64 [N]."""
    shares = np.zeros(len(thumbnails), np.float64)
    for start in range(0, len(thumbnails), _TOGETHER):
        some = thumbnails[start : start + _TOGETHER].astype(np.float32)
        detail = some - _around(some)
        shares[start : start + _TOGETHER] = (_around(detail * detail) > _STRUCTURE**2).mean(axis=(1, 2))
    return shares


def turned(thumbnails: Thumbnails, symmetries: NDArray[np.integer]) -> Thumbnails:
    """Returns thumbnails, uint8 [N, 24, 24], each flipped or rotated by a symmetry of the given number."""
    out = thumbnails.copy()
    for symmetry in np.unique(symmetries).tolist():
        some = symmetries == symmetry
        out[some] = apply_symmetry(thumbnails[some].transpose(1, 2, 0), SYMMETRIES[symmetry]).transpose(2, 0, 1)
    return out


def _similarities(one: Planes, other: Planes, windows: Planes) -> Planes:
    part = _cut(one, windows)
    found = _correlations(_normalised(part), _normalised(other))
    rough = _correlations(part - _around(part), other - _around(other))
    again = np.flatnonzero((found < _FITS) & (rough >= _HOPELESS))
    if len(again):
        part = _cut(one[again], _fitted(one[again], other[again], windows[again]))
        found[again] = np.maximum(found[again], _correlations(_normalised(part), _normalised(other[again])))
    return found


def _fitted(one: Planes, other: Planes, windows: Planes) -> Planes:
    """Returns the windows near the given ones that fit best, with any gain and offset of the grey levels."""
    along = (np.arange(THUMBNAIL_PX, dtype=np.float32) + 0.5) / THUMBNAIL_PX
    wanted, start = _standardised(other), windows
    ridge = np.float32(_RIDGE * THUMBNAIL_PX**2) * np.eye(6, dtype=np.float32)
    for _ in range(_STEPS):
        part = _standardised(_cut(one, windows))
        down, across = (np.gradient(part, axis=axis) * np.float32(THUMBNAIL_PX) for axis in (1, 2))
        across /= (windows[:, 1] - windows[:, 0])[:, None, None]
        down /= (windows[:, 3] - windows[:, 2])[:, None, None]
        late, low = along, along[:, None]
        slopes = (across * (1 - late), across * late, down * (1 - low), down * low, part, np.ones_like(part))
        jacobian = np.stack([slope.reshape(len(one), -1) for slope in slopes], axis=1)
        residual = (wanted - part).reshape(len(one), -1, 1)
        step = np.linalg.solve(jacobian @ jacobian.swapaxes(1, 2) + ridge, jacobian @ residual)
        windows = np.clip(windows + step[:, :4, 0], start - np.float32(_MAX_MOVE), start + np.float32(_MAX_MOVE))
    return windows


def _cut(pictures: Planes, windows: Planes) -> Planes:
    """Returns windows of pictures, resampled to the pictures' size; what lies outside repeats the edge."""
    left, right, top, bottom = windows.T
    down, across = _resampling(top, bottom), _resampling(left, right)
    return np.asarray(down @ pictures @ across.swapaxes(1, 2), np.float32)


def _resampling(start: Planes, end: Planes) -> Planes:
    """Returns the matrices of linear interpolation from `start` to `end`, shares of a side: [pairs, 24, 24]."""
    pixel = np.arange(THUMBNAIL_PX, dtype=np.float32)
    share = (pixel + np.float32(0.5)) / np.float32(THUMBNAIL_PX)
    at = (start[:, None] + (end - start)[:, None] * share) * np.float32(THUMBNAIL_PX) - np.float32(0.5)
    at = np.clip(at, 0, THUMBNAIL_PX - 1)
    weights: Planes = np.maximum(1 - np.abs(at[:, :, None] - pixel), 0)
    return weights


def _normalised(pictures: Planes) -> Planes:
    """Returns the difference of each pixel from its surroundings, divided by their contrast."""
    detail = pictures - _around(pictures)
    normal: Planes = detail / np.sqrt(_around(detail * detail) + np.float32(_NOISE**2))
    return normal


def _around(pictures: Planes) -> Planes:
    mean = _mean_around()
    return np.asarray(mean @ pictures @ mean.T, np.float32)


@cache
def _mean_around() -> Planes:
    """Returns the matrix that takes the mean over 5 pixels along an axis, fewer at the ends."""
    pixel = np.arange(THUMBNAIL_PX)
    near = (np.abs(pixel[:, None] - pixel) <= _AROUND).astype(np.float32)
    mean: Planes = near / near.sum(axis=1, keepdims=True)
    return mean


def _standardised(pictures: Planes) -> Planes:
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    standard: Planes = centred / (np.sqrt((centred * centred).mean(axis=(1, 2), keepdims=True)) + np.float32(1e-3))
    return standard


def _correlations(one: Planes, other: Planes) -> Planes:
    one, other = one.reshape(len(one), -1), other.reshape(len(other), -1)
    sums = (np.einsum("ij,ij->i", *pair) for pair in ((one, other), (one, one), (other, other)))
    both, first, second = sums
    found: Planes = both / np.sqrt(first * second + np.float32(1e-6))
    return found
