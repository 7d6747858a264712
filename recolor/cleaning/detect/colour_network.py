"""The small networks that judge colours: their inputs from the measurements, and their evaluation in numpy."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recolor.cleaning.measure.tones import PERCENTILES, TONE_STRETCHES
from recolor.color.arrays import Floats
from recolor.manifests.schemas import COLOUR_LAYOUT, COLOUR_TONES

CLIP = 6.0  # standard deviations to which the inputs are clipped
_BATCH_ROWS = 1 << 10  # small enough for the CPU cache

Network = Mapping[str, NDArray[np.float32]]


@cache
def load_network(path: Path) -> Network:
    """Returns the arrays of a network's file: one hidden layer with ReLU, on standardised inputs."""
    with np.load(path) as file:
        return dict(file)


def colour_evidence(measurements: pa.Table, network: Network, own: NDArray[np.float32] | None = None) -> Floats:
    """Returns what a network says of the colours of images, a log-odds.

    Args:
        measurements: With the columns `colour_layout` and `colour_tones`.
        network: From `load_network`.
        own: float32 [rows, inputs], inputs of this network alone, before those of layout and tones.

    Returns:
        float64 [rows]; NaN for images that were not decoded.
    """
    decoded = np.flatnonzero(measurements["colour_layout"].combine_chunks().is_valid().to_numpy(zero_copy_only=False))
    layouts = _numbers(measurements, "colour_layout", COLOUR_LAYOUT)
    tones = _numbers(measurements, "colour_tones", COLOUR_TONES)
    evidence = np.full(len(measurements), np.nan)
    with threadpool_limits(1, user_api="blas"):  # for such small products, threads cost more than they gain
        for start in range(0, len(decoded), _BATCH_ROWS):
            some = decoded[start : start + _BATCH_ROWS]
            inputs = colour_inputs(layouts[some], tones[some])
            evidence[some] = network_evidence(inputs if own is None else np.hstack([own[some], inputs]), network)
    return evidence


def network_evidence(inputs: NDArray[np.float32], network: Network) -> Floats:
    """Returns the network's output: float64 [rows].

    Args:
        inputs: float32 [rows, inputs of the network].
        network: From `load_network`.
    """
    z = (inputs - network["mean"]) / network["std"]
    # In double precision, because the last digits of a matrix product depend on the number of rows.
    values = np.clip(z, -CLIP, CLIP).astype(np.float64)
    hidden = np.maximum(values @ network["weight_0"].T.astype(np.float64) + network["bias_0"], 0)
    return np.asarray(hidden @ network["weight_1"][0].astype(np.float64) + network["bias_1"][0], np.float64)


def _numbers(measurements: pa.Table, name: str, count: int) -> NDArray[np.float32]:
    """Returns the numbers of a binary column without a copy: float32 [rows, count]; any if not decoded."""
    values = measurements[name].combine_chunks()
    return np.frombuffer(values.buffers()[1], "<f4")[values.offset * count :][: len(values) * count].reshape(-1, count)


def colour_inputs(layouts: NDArray[np.float32], tones: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns layouts and tones as inputs of a network.

    Variances, hues and chroma become logarithms, and the means of empty cells near zero. The percentiles of the
    channels become logarithms of red over green and of blue over green.

    Args:
        layouts: float32 [rows, 90], from `recolor.cleaning.measure.colour`.
        tones: float32 [rows, 81], from `recolor.cleaning.measure.tones`.

    Returns:
        float32 [rows, 164].
    """
    prepared = layouts.astype(np.float32)  # a copy
    share, means, variances, covariances, hues = np.split(prepared, [9, 27, 45, 54], axis=1)  # views
    means *= np.tile(np.minimum(np.float32(1), share / np.float32(0.05)), (1, 2))
    variances[:] = np.log(np.maximum(variances, 0) + np.float32(4))
    covariances[:] = np.copysign(np.log1p(np.abs(covariances) / np.float32(4)), covariances)
    hues[:] = np.log(hues + np.float32(0.3))
    channels, greys, cells = np.split(tones, [3 * len(PERCENTILES), 3 * len(PERCENTILES) + TONE_STRETCHES], axis=1)
    red, green, blue = np.split(np.log(channels + np.float32(8)), 3, axis=1)
    return np.concatenate([prepared, red - green, blue - green, np.log(greys + np.float32(2)), cells], axis=1)
