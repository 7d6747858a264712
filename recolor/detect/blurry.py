"""Images without fine detail: out of focus, moved, or enlarged from something smaller.

Two measurements that fail in different places. *Octave ratio*: blur and enlargement take a fine octave and leave the
next, while fog, dunes and a clear sky are as poor in the one as in the other. Three octaves are looked at, as a heavy
blur leaves nothing but the file's noise in the finest. *Block detail*: the energy of the sharpest blocks, which heavy
blur takes too, and which a sharp subject before a soft background keeps.
"""

import numpy as np
import pyarrow as pa

from recolor.config import BlurryConfig
from recolor.outliers import Floats, column, outlier_table
from recolor.schemas import BLURRY

# Logistic fit of clean photographs against Gaussian, motion and enlargement blur of them, at 256 px and at 1024 px,
# rounded; the offset puts one of two hundred photographs of a web collection under 0.5.
_RATIO_WEIGHT, _BLOCK_WEIGHT, _OFFSET = 3.8, 0.2, 6.1
_NOISE = 1.0  # grey², about what rounding to bytes leaves of the Laplacian: keeps the ratio finite


def octave_ratio(measurements: pa.Table) -> Floats:
    """Energy of an octave over the next coarser one's, log2, the least of three: 0 if sharp, -2.5 if blurred.

    Returns:
        float64 [rows]; NaN where not decoded.
    """
    energy = [np.log2(column(measurements, f"laplacian_variance_{octave}") + _NOISE) for octave in range(4)]
    ratios = [energy[0] - energy[1], energy[1] - energy[2], energy[2] - energy[3]]
    return np.asarray(np.min(ratios, axis=0))


def block_detail(measurements: pa.Table) -> Floats:
    """Energy of the sharpest blocks, log2 of grey²: about 12 if sharp, under 6 if blurred or empty.

    Returns:
        float64 [rows]; NaN where not decoded.
    """
    return np.asarray(np.log2(column(measurements, "laplacian_block_0") + _NOISE))


def score_blurry(measurements: pa.Table) -> Floats:
    """Scores fine detail: 0 has none; float64 [rows], 1 where not decoded."""
    evidence = _RATIO_WEIGHT * octave_ratio(measurements) + _BLOCK_WEIGHT * block_detail(measurements) + _OFFSET
    return np.where(np.isnan(evidence), 1.0, 1.0 / (1.0 + np.exp(-evidence)))


def detect_blurry(measurements: pa.Table, config: BlurryConfig) -> pa.Table:
    """Lists the blurry images, as a table of `schemas.BLURRY`."""
    score = score_blurry(measurements)
    rows = np.flatnonzero(score < config.threshold)
    ratio, detail = octave_ratio(measurements)[rows], block_detail(measurements)[rows]
    reasons = [
        f"a fine octave has {2**fine:.2f} times the energy of the next (about 1 if sharp), and the sharpest blocks"
        f" have 2^{block:.1f} grey² (about 2^12 if sharp)"
        for fine, block in zip(ratio, detail)
    ]
    numbers = {"octave_ratio": pa.array(ratio, pa.float64()), "block_detail": pa.array(detail, pa.float64())}
    return outlier_table(
        BLURRY, measurements, rows=rows, score=score[rows], threshold=config.threshold, reasons=reasons, numbers=numbers
    )
