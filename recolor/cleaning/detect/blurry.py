"""The detector of blurry images: out of focus, motion blur, or enlarged.

A small network judges two kinds of measurement, because each fails for other images.

- The energy of second differences, in six octaves and four directions. Blur and enlargement remove it from fine octaves
  and leave it in coarse ones; fog, dunes and a clear sky have little in all. A moving camera removes it along one
  direction.
- The steepness of edges over the contrast around them. Scenes without texture have steep edges nonetheless; a subject
  before a soft background has them in some blocks.

The size of the image is an input too: photographs that are halved before they are measured are sharper than thumbnails.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import column, logistic, outlier_table
from recolor.color.arrays import Floats
from recolor.config.settings import BlurryConfig
from recolor.manifests.schemas import ANGLES, BLURRY, DETAIL_OCTAVES, EDGES, SHARPNESS_PX

NETWORK_FILE = Path(__file__).with_suffix(".npz")  # made by tools/fit_blurry.py
INPUTS = 74
HALVED = -2  # of the inputs: whether the picture was halved before
CLIP = 5.0  # standard deviations to which the network's inputs are clipped
DETAIL = tuple(f"detail_{angle}_{octave}" for octave in range(DETAIL_OCTAVES) for angle in ANGLES)
COLUMNS = ("path", "width_px", "height_px", "edges", *DETAIL)  # of the measurements
_NOISE = 1.0  # grey², about the energy of rounding to bytes: keeps the logarithms finite
_BATCH_ROWS = 1 << 11
_MOTION = 2.5  # log2; no more than one in a hundred sharp photographs is so uneven
_MEAN_STEEPNESS = (4, 9)  # of the numbers of an octave in `edges`: along rows and columns
_GREYS = slice(10, 16)  # and steps and contrast in grey levels
_OCTAVES = 2  # in `edges`

Network = Mapping[str, NDArray[np.float32]]


def score_blurry(measurements: pa.Table) -> Floats:
    """Returns the scores of sharpness, 0 for blurred.

    Returns:
        float64 [rows]; 1 for images that were not decoded.
    """
    measurements = measurements.select(COLUMNS[1:])
    decoded = np.flatnonzero(_decoded(measurements))
    evidence = np.full(len(measurements), np.nan)
    with threadpool_limits(1, user_api="blas"):  # for such small products, threads cost more than they gain
        for start in range(0, len(decoded), _BATCH_ROWS):
            some = decoded[start : start + _BATCH_ROWS]
            inputs = network_inputs(measurements.take(pa.array(some, pa.int64())))
            evidence[some] = network_evidence(inputs, _network())
    return logistic(evidence)


def network_inputs(measurements: pa.Table) -> NDArray[np.float32]:
    """Returns measurements of decoded images as inputs of the network.

    Returns:
        float32 [rows, 74]: log2 of the energies; the least and the mean ratio of each octave to the next, over
        directions; the anisotropy of each octave; the numbers of `edges`, grey levels as log2; whether the picture
        was halved before, which makes photographs sharper; and log2 of the short side at which it was measured.
    """
    energies = _energies(measurements)
    ratios = energies[:-1] - energies[1:]
    detail = [*energies.reshape(len(DETAIL), -1), *ratios.min(axis=1), *ratios.mean(axis=1), *np.ptp(energies, axis=1)]
    edges = edge_numbers(measurements)
    edges[..., _GREYS] = np.log2(edges[..., _GREYS] + 1)
    short_px = np.minimum(column(measurements, "width_px"), column(measurements, "height_px"))
    times = np.maximum(np.floor(np.log2(short_px / SHARPNESS_PX)), 0)
    sizes = [np.minimum(times, 1), np.log2(short_px / SHARPNESS_PX) - times]
    return np.stack([*detail, *edges.reshape(-1, EDGES).T, *sizes], axis=1, dtype=np.float32)


def edge_numbers(measurements: pa.Table) -> NDArray[np.float32]:
    """Returns the column `edges` of decoded images: float32 [rows, 2 octaves, 16]."""
    numbers = np.frombuffer(b"".join(measurements["edges"].to_pylist()), "<f4")
    return numbers.reshape(len(measurements), _OCTAVES, EDGES // _OCTAVES).copy()


def network_evidence(inputs: NDArray[np.float32], network: Network) -> Floats:
    """Returns the log-odds that an image is sharp: float64 [rows].

    Args:
        inputs: float32 [rows, 74].
        network: Arrays of `NETWORK_FILE`: two hidden layers with ReLU, on standardised inputs.
    """
    hidden = np.clip((inputs - network["mean"]) / network["std"], -CLIP, CLIP).astype(np.float64)
    for layer in (1, 2):
        hidden = np.maximum(hidden @ network[f"weight_{layer}"].T + network[f"bias_{layer}"], 0)
    return np.asarray(hidden @ network["weight_3"] + network["bias_3"], np.float64)


@cache
def _network() -> Network:
    with np.load(NETWORK_FILE) as file:
        return {name: values for name, values in file.items() if values.dtype == np.float32}


def octave_ratio(measurements: pa.Table) -> Floats:
    """Returns log2 of the least energy of an octave over that of the next coarser one: float64 [rows].

    The finest four octaves count, along all directions. About 0 if sharp, about -2.5 if blurred.
    """
    energies = _energies(measurements)[:4]
    return np.asarray((energies[:-1] - energies[1:]).min(axis=(0, 1)))


def anisotropy(measurements: pa.Table) -> Floats:
    """Returns log2 of the most energy of a direction over the least, in the octave where it is largest.

    Returns:
        float64 [rows], ≥ 0; the finest three octaves count.
    """
    return np.asarray(np.ptp(_energies(measurements)[:3], axis=1).max(axis=0))


def edge_px(measurements: pa.Table) -> Floats:
    """Returns the width of edges, in pixels at the scale that is measured: float64 [rows], 1 to about 16.

    It is the contrast of a block over its largest step from a pixel to the next, in the direction with the steeper
    edges; blocks of more contrast count more.
    """
    steepness = edge_numbers(measurements)[:, 0, list(_MEAN_STEEPNESS)].max(axis=1).astype(np.float64)
    return np.asarray(1.0 / np.clip(steepness, 1 / 16, 1))


def detect_blurry(measurements: pa.Table, config: BlurryConfig) -> pa.Table:
    """Returns the blurry images, a table of `schemas.BLURRY`."""
    score = score_blurry(measurements)
    rows = np.flatnonzero((score < config.threshold) & _decoded(measurements))
    taken = measurements.take(pa.array(rows, pa.int64()))
    ratio, uneven, width = octave_ratio(taken), anisotropy(taken), edge_px(taken)
    reasons = [_reason(*numbers) for numbers in zip(ratio, uneven, width, width * _times_reduced(taken))]
    values = {"octave_ratio": ratio, "anisotropy": uneven, "edge_px": width}
    numbers = {name: pa.array(value, pa.float64()) for name, value in values.items()}
    return outlier_table(
        BLURRY, measurements, rows=rows, score=score[rows], threshold=config.threshold, reasons=reasons, numbers=numbers
    )


def _times_reduced(measurements: pa.Table) -> Floats:
    """Returns how many times larger the image is than the copy whose edges are measured: float64 [rows]."""
    short_px = np.minimum(column(measurements, "width_px"), column(measurements, "height_px"))
    return np.asarray(2.0 ** np.maximum(np.floor(np.log2(short_px / SHARPNESS_PX)), 0))


def _reason(ratio: float, uneven: float, width: float, finest_px: float) -> str:
    numbers = f"edges {width:.1f} px wide where sharp ones have 2; finest octave {2**ratio:.2f} of the next, 1 if sharp"
    if uneven >= _MOTION:
        return (
            "blurred along one direction, as by a moving camera: detail across it has"
            f" {2**uneven:.0f} times the energy ({numbers})"
        )
    return f"soft everywhere: no detail finer than {finest_px:.0f} px ({numbers})"


def _decoded(measurements: pa.Table) -> NDArray[np.bool_]:
    return np.asarray(measurements["edges"].is_valid().to_numpy(), np.bool_)


def _energies(measurements: pa.Table) -> Floats:
    """Returns log2 of the energies: float64 [6 octaves, 4 directions, rows]."""
    energies = np.array([np.log2(column(measurements, name) + _NOISE) for name in DETAIL])
    return energies.reshape(DETAIL_OCTAVES, len(ANGLES), -1)


BLURRY_DETECTOR = Detector(
    schema=BLURRY,
    settings=lambda config: config.blurry,
    columns=lambda _: COLUMNS,
    detect=detect_blurry,
    score=lambda measurements, _: score_blurry(measurements),
    threshold=lambda config: config.threshold,
)
