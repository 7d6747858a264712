"""Copies among flat pictures, whose hashes are noise: those whose colours and thumbnails agree."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recolor.cleaning.detect.hamming import Hashes, Indices
from recolor.cleaning.detect.outlier_table import column
from recolor.color.arrays import Floats
from recolor.manifests.schemas import THUMBNAIL_PX

COLUMNS = ("L_mean", "contrast", "a_mean", "b_mean", "a_std", "b_std")
_MOST = 1.5  # Lab units: strong compression rounds a colour by so much
_LEAST_CORRELATION = 0.9  # of the thumbnails, unless both are of one grey; that of two noises is about 0


def keys(measurements: pa.Table, rows: Indices, thumbnails: Hashes) -> Hashes:
    """Returns numbers that are equal for flat images with the same pixels: uint64 [rows, words].

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        rows: The flat images.
        thumbnails: uint64 [rows, 72].
    """
    colours = np.stack([column(measurements, name)[rows] for name in COLUMNS], axis=1).round(2) + 0.0
    return np.concatenate([colours.view(np.uint64), thumbnails], axis=1)


def flat_groups(measurements: pa.Table, rows: Indices, thumbnails: NDArray[np.uint8]) -> Indices:
    """Groups flat images: each, best first, takes those like it that no better one has taken.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        rows: The flat images, best first.
        thumbnails: uint8 [rows, 24, 24].

    Returns:
        The place in `rows` of the image that is kept instead of each: int64 [rows].
    """
    colours = np.stack([column(measurements, name)[rows] for name in COLUMNS], axis=1)
    kept = np.arange(len(rows))
    for best, other in _pairs(colours, thumbnails):
        if kept[best] == best and kept[other] == other:
            kept[other] = best
    return kept


def _standardised(thumbnails: NDArray[np.uint8]) -> Floats:
    """Returns thumbnails of mean 0 and length 1, or all 0 if they are of one grey: float64 [N, 576]."""
    detail = thumbnails.reshape(len(thumbnails), THUMBNAIL_PX**2).astype(np.float64)
    detail -= detail.mean(axis=1, keepdims=True)
    standard: Floats = detail / np.maximum(np.linalg.norm(detail, axis=1, keepdims=True), 1e-6)
    return standard


def _pairs(colours: Floats, thumbnails: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Returns pairs of a better and a worse picture that are alike, sorted.

    Pictures are compared with those that follow in the order of lightness, until none is as light.
    """
    order = np.argsort(colours[:, 0], kind="stable")
    colours, detail = colours[order], _standardised(thumbnails[order])
    found = [np.empty((0, 2), np.int64)]
    one = np.arange(len(order))
    for offset in range(1, len(order)):
        one = one[one < len(order) - offset]
        one = one[colours[one + offset, 0] - colours[one, 0] <= _MOST]
        if not len(one):
            break
        alike = one[np.abs(colours[one + offset] - colours[one]).max(axis=1) <= _MOST]
        correlation = np.einsum("ij,ij->i", detail[alike + offset], detail[alike])
        plain = ~(detail[alike + offset].any(axis=1) | detail[alike].any(axis=1))
        alike = alike[plain | (correlation >= _LEAST_CORRELATION)]
        found.append(np.sort(np.stack([order[alike], order[alike + offset]], axis=1), axis=1))
    return sorted((int(best), int(other)) for best, other in np.concatenate(found))
