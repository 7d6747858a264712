"""Images without fine detail: out of focus, moved, or enlarged from something smaller.

Three kinds of measurement that fail in different places. *Octave ratios*: blur and enlargement take a fine octave and
leave the next, while fog, dunes and a clear sky are as poor in the one as in the other; three octaves are looked at, as
a heavy blur leaves nothing but the file's noise in the finest. They are taken along four lines, as a moved camera blurs
along one. *Anisotropy*: how much richer one line is than another. *Block detail*: the energy of the sharpest blocks,
which heavy blur takes too, and which a sharp subject before a soft background keeps.
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

# A logistic regression (docs/decisions/2026-11-detectors.md); one weight an octave, the finest first.
_LEAST_RATIO_WEIGHTS = np.array([2.44, 1.21, 1.67])
_MEAN_RATIO_WEIGHTS = np.array([1.67, -0.32, 0.45])
_ANISOTROPY_WEIGHTS = np.array([-1.60, -0.01, 0.36, 0.46])
_BLOCK_WEIGHTS = np.array([0.26, 0.50])  # of the middle two octaves
_OFFSET = 5.3  # the regression's 3.35, moved so that of no kind of clean scene more than one in twenty is flagged
_NOISE = 1.0  # grey², about what rounding to bytes leaves of a second difference: keeps the ratios finite


def octave_ratios(measurements: pa.Table) -> Floats:
    """Energy of an octave over the next coarser one's, log2, along each line: 0 if sharp, about -2.5 if blurred.

    Returns:
        float64 [rows, 3 octaves, 4 lines]; NaN where not decoded.
    """
    return np.moveaxis(_ratios(_energies(measurements)), 2, 0)


def anisotropy(measurements: pa.Table) -> Floats:
    """Energy along the richest line over that along the poorest, log2, ≥ 0: float64 [rows, 4 octaves]."""
    return np.asarray(np.ptp(_energies(measurements), axis=1).T)


def block_detail(measurements: pa.Table) -> Floats:
    """Energy of the sharpest blocks, log2 of grey²: float64 [rows, the middle 2 octaves]; NaN where not decoded."""
    blocks = [column(measurements, name) for name in _BLOCK_DETAIL]
    return np.log2(np.stack(blocks, axis=1) + _NOISE)


def score_blurry(measurements: pa.Table) -> Floats:
    """Scores fine detail: 0 has none; float64 [rows], 1 where not decoded."""
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
    """Lists the blurry images, as a table of `schemas.BLURRY`."""
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
    """Log2 of the energies: float64 [4 octaves, 4 lines, rows]."""
    return np.array([[np.log2(column(measurements, name) + _NOISE) for name in names] for names in _DETAIL])


def _ratios(energies: Floats) -> Floats:
    """Of each octave's energy and the next coarser one's, log2: float64 [3 octaves, 4 lines, rows]."""
    return energies[:-1] - energies[1:]


def _weighted(values: Floats, weights: Floats) -> Floats:
    """The sum of float64 [octaves, rows]; not by BLAS, whose threads cost more here than they gain."""
    total: Floats = sum((weight * value for weight, value in zip(weights[1:], values[1:])), weights[0] * values[0])
    return total


BLURRY_DETECTOR = Detector(
    schema=BLURRY,
    settings=lambda config: config.blurry,
    columns=lambda _: COLUMNS,
    detect=detect_blurry,
    score=score_blurry,
)
