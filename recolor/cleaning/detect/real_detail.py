"""How many pixels of an image hold detail: fewer than it has if it is an enlargement."""

from itertools import pairwise

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.outlier_table import column
from recolor.color.arrays import Floats
from recolor.manifests.schemas import SHARPNESS_PX

OCTAVES = 4
COLUMNS = ("frame_share", *(f"detail_{angle}_{octave}" for octave in range(OCTAVES) for angle in (0, 90)))
# The finest octave of an enlargement by 2 has log2(energy) of -2.2 to -2.8 relative to the next one. 3.2% and 0.15% of
# the photographs of two sources are below -2.1.
_EMPTY = -2.1
_NOISE = 0.1  # grey levels²
# An enlargement, or a copy in a frame, has the same detail as the original. The original is better.
_ORIGINAL = 0.9


def real_pixels(measurements: pa.Table) -> Floats:
    """Returns the number of pixels that hold the detail of an image.

    An octave without detail divides the number by 4. Detail is measured on a copy whose short side is at least
    `SHARPNESS_PX`. If its finest octave has none, the larger ones have none either. If it has, they count as
    full, although nobody has looked. A frame holds no detail.

    Args:
        measurements: Table with `COLUMNS` and the size; rows of images that were not decoded are null.

    Returns:
        float64 [rows]; NaN if not decoded.
    """
    width_px, height_px = column(measurements, "width_px"), column(measurements, "height_px")
    empty = _empty_octaves(measurements)
    short_px = np.fmin(width_px, height_px)
    halvings = np.floor(np.log2(np.fmax(1.0, short_px / SHARPNESS_PX)))
    enlarged = np.where(empty > 0, _ORIGINAL * 0.25 ** (halvings + empty), 1.0)
    frame = np.nan_to_num(column(measurements, "frame_share"))
    framed = np.where(frame > 0, _ORIGINAL * (1.0 - frame), 1.0)
    real: Floats = width_px * height_px * enlarged * framed
    return real


def _empty_octaves(measurements: pa.Table) -> Floats:
    """Returns how many octaves, from the finest on, have no detail: float64 [rows], 0..3."""
    energy = [
        np.log2(_NOISE + sum(np.nan_to_num(column(measurements, f"detail_{angle}_{octave}")) for angle in (0, 90)))
        for octave in range(OCTAVES)
    ]
    empty = np.stack([finer - coarser < _EMPTY for finer, coarser in pairwise(energy)])
    return np.asarray(np.logical_and.accumulate(empty).sum(axis=0), np.float64)
