"""The small networks that judge colours: their inputs from the measurements, and their evaluation in numpy."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recolor.cleaning.measure.tones import PERCENTILES, TONE_STRETCHES
from recolor.color.arrays import Floats
from recolor.manifests.schemas import COLOUR_LAYOUT, COLOUR_TONES

CLIP = 6.0  # standard deviations to which the inputs are clipped
_BATCH_ROWS = 1 << 10  # small enough for the CPU cache
# Lab units are added to each measurement before the logarithm: the noise of JPEG in a grey image, or a difference that
# is hardly visible.
LOGARITHMS = {
    "ab_residual_p90": 0.5,
    "ab_residual_median": 0.5,
    "ab_residual": 0.5,
    "chroma_mean": 1.0,
    "chroma_p95": 1.0,
    "cast": 1.0,
    "contrast": 3.0,
    "L_mean": 5.0,
}
COLUMNS = ("colour_layout", "colour_tones", "hue_entropy", *LOGARITHMS)  # of the measurements

Network = Mapping[str, NDArray[np.floating[Any]]]


@cache
def load_network(path: Path) -> Network:
    """Returns the arrays of a network's file: linear layers with ReLU between them, on standardised inputs."""
    with np.load(path) as file:
        return {name: file[name].astype(np.float64) if name.startswith("weight_") else file[name] for name in file}


def colour_evidence(measurements: pa.Table, network: Network) -> Floats:
    """Returns what a network says of the colours of images, a log-odds.

    Args:
        measurements: With the columns `COLUMNS`.
        network: From `load_network`.

    Returns:
        float64 [rows]; NaN for images that were not decoded.
    """
    decoded = np.flatnonzero(measurements["colour_layout"].combine_chunks().is_valid().to_numpy(zero_copy_only=False))
    scalars, layouts, tones = scalar_inputs(measurements), *_binary_inputs(measurements)
    evidence = np.full(len(measurements), np.nan)
    with threadpool_limits(1, user_api="blas"):  # for such small products, threads cost more than they gain
        for start in range(0, len(decoded), _BATCH_ROWS):
            some = decoded[start : start + _BATCH_ROWS]
            evidence[some] = network_evidence(colour_inputs(scalars[some], layouts[some], tones[some]), network)
    return evidence


def measured_inputs(measurements: pa.Table) -> NDArray[np.float32]:
    """Returns the inputs of a network of images that were decoded: float32 [rows, 173].

    Args:
        measurements: With the columns `COLUMNS`.
    """
    return colour_inputs(scalar_inputs(measurements), *_binary_inputs(measurements))


def network_evidence(inputs: NDArray[np.float32], network: Network) -> Floats:
    """Returns the network's output: float64 [...].

    Args:
        inputs: float32 [..., inputs of the network]. The last digits of the results of [rows, inputs] depend on the
            number of rows; those of [rows, 1, inputs] do not.
        network: From `load_network`.
    """
    z = (inputs - network["mean"]) / network["std"]
    # In double precision, so that no more than the last digits depend on the number of rows.
    values = np.clip(z, -CLIP, CLIP).astype(np.float64)
    layers = sum(name.startswith("weight_") for name in network)
    for layer in range(layers):
        values = values @ network[f"weight_{layer}"].T.astype(np.float64, copy=False) + network[f"bias_{layer}"]
        if layer < layers - 1:
            values = np.maximum(values, 0)
    return np.asarray(values[..., 0], np.float64)


def scalar_inputs(measurements: pa.Table) -> NDArray[np.float32]:
    """Returns the inputs of a network that are single measurements.

    Returns:
        float32 [rows, 9]: logarithms of residuals, chroma, cast, contrast and mean L; the entropy of the hues. NaN for
        images that were not decoded.
    """
    columns = {name: _doubles(measurements, name) for name in (*LOGARITHMS, "hue_entropy")}
    logarithms = [np.log(columns[name] + small) for name, small in LOGARITHMS.items()]
    return np.stack([*logarithms, columns["hue_entropy"]], axis=1, dtype=np.float32)


def _doubles(measurements: pa.Table, name: str) -> Floats:
    """Returns a column as float64 [rows]; NaN for images that were not decoded."""
    values: Floats = measurements[name].to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return values


def _binary_inputs(measurements: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns layouts and tones: float32 [rows, 90] and [rows, 81]."""
    return _numbers(measurements, "colour_layout", COLOUR_LAYOUT), _numbers(measurements, "colour_tones", COLOUR_TONES)


def _numbers(measurements: pa.Table, name: str, count: int) -> NDArray[np.float32]:
    """Returns the numbers of a binary column without a copy: float32 [rows, count]; any if not decoded."""
    values = measurements[name].combine_chunks()
    return np.frombuffer(values.buffers()[1], "<f4")[values.offset * count :][: len(values) * count].reshape(-1, count)


def colour_inputs(
    scalars: NDArray[np.float32], layouts: NDArray[np.float32], tones: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Returns the inputs of a network.

    Variances, hues and chroma become logarithms, and the means of empty cells near zero. The percentiles of the
    channels become logarithms of red over green and of blue over green.

    Args:
        scalars: float32 [rows, 9], from `scalar_inputs`.
        layouts: float32 [rows, 90], from `recolor.cleaning.measure.colour`.
        tones: float32 [rows, 81], from `recolor.cleaning.measure.tones`.

    Returns:
        float32 [rows, 173].
    """
    prepared = layouts.astype(np.float32)  # a copy
    share, means, variances, covariances, hues = np.split(prepared, [9, 27, 45, 54], axis=1)  # views
    means *= np.tile(np.minimum(np.float32(1), share / np.float32(0.05)), (1, 2))
    variances[:] = np.log(np.maximum(variances, 0) + np.float32(4))
    covariances[:] = np.copysign(np.log1p(np.abs(covariances) / np.float32(4)), covariances)
    hues[:] = np.log(hues + np.float32(0.3))
    channels, greys, cells = np.split(tones, [3 * len(PERCENTILES), 3 * len(PERCENTILES) + TONE_STRETCHES], axis=1)
    red, green, blue = np.split(np.log(channels + np.float32(8)), 3, axis=1)
    return np.concatenate([scalars, prepared, red - green, blue - green, np.log(greys + np.float32(2)), cells], axis=1)
