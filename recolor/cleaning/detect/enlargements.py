"""Enlargements among copies: they have no detail that a smaller copy could not hold.

An image is measured at a short side of less than 576 px, where the enlargement of a larger one looks like its original.
So of copies that come in several sizes, the files are opened again.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recolor.cleaning.detect.hamming import Indices
from recolor.cleaning.detect.outlier_table import column
from recolor.cleaning.measure.sharpness import halve
from recolor.color.arrays import Floats, Grey
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode, one_opencv_thread, read_bytes
from recolor.pipeline.progress import track

COLUMNS = ("path", "sha256", "width_px", "height_px")
# Of the ratio times the square of the factor between the two sizes: enlargements reach 0.73, photographs start at 1.16
# (docs/decisions/2026-11-copies.md).
_LIMIT = 1.1
_ROUNDING = 1 / 12  # grey levels²: variance of rounding to whole levels, which is all that an empty sky has
_LEAST_FACTOR, _MOST_FACTOR = 1.3, 2.7  # much larger pictures are halved first
_MOST_SIZES = 6  # smaller sizes that a picture is compared with
_THREADS = 4  # each holds two decoded photographs

Reader = Callable[[int, float], Grey | None]


@dataclass(frozen=True, slots=True)
class Photographs:
    """The folder of the measured photographs, and the limits with which they were read."""

    folder: Path
    limits: MeasureConfig


def without_enlargements(
    measurements: pa.Table, real_pixels: Floats, groups: Sequence[Indices], photographs: Photographs
) -> Floats:
    """Returns the numbers of pixels that hold detail, with those of enlargements set below their original's.

    The best copy of each group is compared with the smaller ones, and if it is an enlargement of one of them, so is the
    next best. Files that are gone, have changed or cannot be decoded any more keep their number.

    Args:
        measurements: Table with `COLUMNS`.
        real_pixels: float64 [rows], from `real_detail.real_pixels`.
        groups: Rows of the copies of each picture; crops are not among them.
        photographs: The files.
    """
    sides_px = np.sqrt(column(measurements, "width_px") * column(measurements, "height_px"))
    short_px = np.fmin(column(measurements, "width_px"), column(measurements, "height_px"))
    open_to_doubt = [rows for rows in groups if sides_px[rows].max() >= _LEAST_FACTOR * sides_px[rows].min()]
    if not open_to_doubt:
        return real_pixels
    files = measurements.select(["path", "sha256"])

    def judge(rows: Indices) -> Floats:
        @cache
        def read(row: int, least_side_px: float) -> Grey | None:
            path, digest = (str(files[name][row]) for name in ("path", "sha256"))
            return _read(photographs, path, digest, int(np.ceil(least_side_px)))

        return _judged(rows, real_pixels[rows], sides_px, short_px, read)

    corrected = real_pixels.copy()
    with one_opencv_thread(), ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        judged = track(pool.map(judge, open_to_doubt), "duplicate: enlargements", len(open_to_doubt), "pictures")
        for rows, numbers in zip(open_to_doubt, judged, strict=True):
            corrected[rows] = numbers
    return corrected


def detail_ratio(large: Grey, small: Grey) -> tuple[float, float]:
    """Returns how much detail a picture has beyond that of its smaller copy, relative to the copy's own finest detail.

    Detail is the mean squared difference from the picture reduced and enlarged again by the factor between the two
    sizes, less what rounding adds. The copy's own is at most that of the large picture at its size: copies are often
    sharpened. A much larger picture is halved first.

    Args:
        large: uint8 [H, W].
        small: uint8 [h, w], turned as the large one or otherwise, at most 1 / 1.3 of its size.

    Returns:
        The ratio, and the factor that it belongs to.
    """
    factor = _factor(large, small)
    while factor > _MOST_FACTOR:
        large, factor = halve(large), factor / 2
    rounding = _ROUNDING * (1 - 1 / factor**2)
    own = min(_detail_beyond(small, factor), _detail_beyond(_reduced(large, factor), factor)) - rounding
    return max(_detail_beyond(large, factor) - rounding, 0.0) / max(own, 1e-6), factor


def _judged(rows: Indices, pixels: Floats, sides_px: Floats, short_px: Floats, read: Reader) -> Floats:
    """Returns the numbers of pixels that hold detail of some copies: float64 [copies]."""
    pixels = pixels.copy()
    for _ in rows:
        best = int(np.argmax(pixels))
        smaller = _smaller(sides_px[rows], best)
        original = next((at for at in smaller if _enlarges(rows, best, at, short_px, read)), None)
        if original is None:
            break
        pixels[best] = np.nextafter(min(pixels[best], pixels[original]), 0)
    return pixels


def _smaller(sides_px: Floats, best: int) -> list[int]:
    """Returns one copy of each size that is much smaller than the best copy's, the largest first."""
    sizes = {float(side): at for at, side in enumerate(sides_px) if side * _LEAST_FACTOR <= sides_px[best]}
    return [sizes[side] for side in sorted(sizes, reverse=True)][:_MOST_SIZES]


def _enlarges(rows: Indices, best: int, at: int, short_px: Floats, read: Reader) -> bool:
    """Whether the copy `best` is an enlargement of the copy `at`; not if one of them cannot be read."""
    needed_px = 2 * float(short_px[rows[at]])
    large, small = read(int(rows[best]), needed_px), read(int(rows[at]), float(short_px[rows[at]]))
    if large is None or small is None or _factor(large, small) < _LEAST_FACTOR:
        return False
    ratio, factor = detail_ratio(large, small)
    return ratio < _LIMIT / factor**2


def _factor(large: Grey, small: Grey) -> float:
    return float(np.sqrt(large.size / small.size))


def _detail_beyond(grey: Grey | NDArray[np.float32], factor: float) -> float:
    """Returns the mean squared difference from a picture without the detail that a copy of 1 / factor cannot hold."""
    height, width = grey.shape
    without = cv2.resize(_reduced(grey, factor), (width, height), interpolation=cv2.INTER_CUBIC)
    return float(np.mean(np.square(grey.astype(np.float32) - without)))


def _reduced(grey: Grey | NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    height, width = (max(1, round(side / factor)) for side in grey.shape)
    return np.asarray(cv2.resize(grey.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _read(photographs: Photographs, path: str, digest: str, min_side_px: int) -> Grey | None:
    """Returns a measured photograph as grey, at least so large if it is; None if it is not there as it was measured."""
    try:
        data = read_bytes(photographs.folder / path, photographs.limits)
        if hashlib.sha256(data).hexdigest() != digest:
            return None
        rgb = decode(data, photographs.limits, min_side_px).rgb
    except ImageError:
        return None
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
