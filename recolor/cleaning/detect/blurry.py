"""The detector of blurry images: out of focus, motion blur, or enlarged.

Three kinds of measurement are combined, because each fails for other images.

- Octave ratios. Blur and enlargement remove a fine octave and keep the next coarser one; fog, dunes and a clear sky
  have little energy in both. Three octaves are used, because under a heavy blur the finest holds only the file's
  noise. They are measured along four directions, because a moving camera blurs along one of them.
- Anisotropy: the ratio of the energies along different directions.
- Block detail: the energy of the sharpest blocks. Heavy blur removes it; a sharp subject before a soft background
  keeps it.
"""

import numpy as np
import pyarrow as pa

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, logistic, outlier_table
from recolor.color.arrays import Floats
from recolor.config.settings import BlurryConfig
from recolor.manifests.schemas import ANGLES, BLURRY

_DETAIL = tuple(tuple(f"detail_{angle}_{octave}" for angle in ANGLES) for octave in range(4))
_BLOCK_DETAIL = ("laplacian_block_1", "laplacian_block_2")
COLUMNS = ("path", *(name for octave in _DETAIL for name in octave), *_BLOCK_DETAIL)  # of the measurements

# A logistic regression (docs/decisions/2026-11-detectors.md); one weight for each octave, the finest first.
_LEAST_RATIO_WEIGHTS = np.array([2.44, 1.21, 1.67])
_MEAN_RATIO_WEIGHTS = np.array([1.67, -0.32, 0.45])
_ANISOTROPY_WEIGHTS = np.array([-1.60, -0.01, 0.36, 0.46])
_BLOCK_WEIGHTS = np.array([0.26, 0.50])  # for the middle two octaves
_OFFSET = 5.3  # the regression's 3.35, raised until at most one in twenty is flagged of every kind of clean scene
_NOISE = 1.0  # grey², about the energy of rounding to bytes: keeps the ratios finite


def octave_ratios(measurements: pa.Table) -> Floats:
    """Returns log2 of the energy of each octave over that of the next coarser one.

    About 0 if sharp, about -2.5 if blurred.

    Returns:
        float64 [rows, 3 octaves, 4 directions]; NaN for images that were not decoded.
    """
    return np.moveaxis(_ratios(_energies(measurements)), 2, 0)


def anisotropy(measurements: pa.Table) -> Floats:
    """Returns log2 of the largest energy of a direction over the smallest, ≥ 0.

    Returns:
        float64 [rows, 4 octaves].
    """
    return np.asarray(np.ptp(_energies(measurements), axis=1).T)


def block_detail(measurements: pa.Table) -> Floats:
    """Returns the energy of the sharpest blocks, log2 of grey².

    Returns:
        float64 [rows, 2 octaves]; NaN if not decoded.
    """
    blocks = [column(measurements, name) for name in _BLOCK_DETAIL]
    return np.log2(np.stack(blocks, axis=1) + _NOISE)


def score_blurry(measurements: pa.Table) -> Floats:
    """Returns the scores of fine detail, 0 for none.

    Returns:
        float64 [rows]; 1 for images that were not decoded.
    """
    energies = _energies(measurements)
    ratios = _ratios(energies)
    return logistic(
        _weighted(ratios.min(axis=1), _LEAST_RATIO_WEIGHTS)
        + _weighted(ratios.mean(axis=1), _MEAN_RATIO_WEIGHTS)
        + _weighted(np.ptp(energies, axis=1), _ANISOTROPY_WEIGHTS)
        + _weighted(block_detail(measurements).T, _BLOCK_WEIGHTS)
        + _OFFSET
    )


def detect_blurry(measurements: pa.Table, config: BlurryConfig) -> pa.Table:
    """Returns the blurry images, a table of `schemas.BLURRY`."""
    score = score_blurry(measurements)
    rows = np.flatnonzero(score < config.threshold)
    taken = measurements.take(pa.array(rows, pa.int64()))
    ratio = octave_ratios(taken).min(axis=(1, 2))
    uneven, detail = anisotropy(taken)[:, 0], block_detail(taken)[:, 0]
    reasons = [
        f"a fine octave has {2**fine:.2f} times the energy of the next (about 1 if sharp), the richest line"
        f" {2**more:.1f} times the poorest's, and the sharpest blocks have 2^{block:.1f} grey² (about 2^12 if sharp)"
        for fine, more, block in zip(ratio, uneven, detail)
    ]
    values = {"octave_ratio": ratio, "anisotropy": uneven, "block_detail": detail}
    numbers = {name: pa.array(value, pa.float64()) for name, value in values.items()}
    return outlier_table(
        BLURRY, measurements, rows=rows, score=score[rows], threshold=config.threshold, reasons=reasons, numbers=numbers
    )


def _energies(measurements: pa.Table) -> Floats:
    """Returns log2 of the energies: float64 [4 octaves, 4 directions, rows]."""
    return np.array([[np.log2(column(measurements, name) + _NOISE) for name in names] for names in _DETAIL])


def _ratios(energies: Floats) -> Floats:
    """Returns log2 of each octave's energy over the next coarser one's.

    Returns:
        float64 [3 octaves, 4 directions, rows].
    """
    return energies[:-1] - energies[1:]


def _weighted(values: Floats, weights: Floats) -> Floats:
    """Returns the weighted sum over octaves of [octaves, rows].

    Not by BLAS: its threads cost more than they gain.
    """
    total: Floats = sum((weight * value for weight, value in zip(weights[1:], values[1:])), weights[0] * values[0])
    return total


BLURRY_DETECTOR = Detector(
    schema=BLURRY,
    settings=lambda config: config.blurry,
    columns=lambda _: COLUMNS,
    detect=detect_blurry,
    score=score_blurry,
)
