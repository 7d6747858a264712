"""Judges whether the colours of pictures are natural, for the detector `skewed`.

A small network judges every picture by its measurements of colour. They tell where and at which lightness each colour
occurs, but not in what: an orange cloud and an orange wall look alike. It doubts one ordinary scene in twenty, and
nearly every picture with a strong cast. A convolutional network then looks at the picture itself. That one began as
EfficientNet-Lite0, trained on ImageNet (Tan and Le 2019), and has been trained on to tell photographs from the same
photographs with their colours spoilt.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recolor.cleaning.measure.colour_network import load_network, measured_inputs, network_evidence
from recolor.color.arrays import RGB
from recolor.images import opencv_memory_errors

NETWORK_FILE = Path(__file__).with_suffix(".npz")  # made by tools/fit_skewed.py
CNN_FILE = Path(__file__).with_suffix(".onnx")  # made by tools/fit_skewed_cnn.py
CNN_PX = 96  # side of the square copies that the convolutional network sees
DOUBTFUL = 0.0  # log-odds of the small network below which the convolutional one looks at the picture
GREY_CHROMA = 2.0  # Lab units; a picture whose mean chroma is less is grey, and of the issue `monochrome`
_MEAN, _STD = 127.0, 128.0  # of the inputs, as in training


def measure_natural_colour(colours: pa.Table, pictures: Sequence[RGB]) -> dict[str, list[float | None]]:
    """Judges pictures.

    Args:
        colours: `colour_network.COLUMNS` of what `measure_colours` returns, a row per picture.
        pictures: uint8 [H, W, 3] each, sRGB; square copies of 96 x 96 pixels are made of those that are looked at.

    Returns:
        `colour_logit` and `colour_logit_cnn`: log-odds that the colours are natural, by the small and by the
        convolutional network. The latter is None for pictures that are grey or not doubtful. The values of one picture
        do not depend on the others.

    Raises:
        MemoryError: There is too little for the convolutional network.
    """
    logits = _logits(colours)
    coloured = (chroma >= GREY_CHROMA for chroma in colours["chroma_mean"].to_pylist())
    looked_at = [logit < DOUBTFUL and has_colour for logit, has_colour in zip(logits, coloured, strict=True)]
    by_cnn = [cnn_logit(picture) if look else None for picture, look in zip(pictures, looked_at, strict=True)]
    return {"colour_logit": [*logits], "colour_logit_cnn": by_cnn}


def _logits(colours: pa.Table) -> list[float]:
    """Returns what the small network says of each row, whatever the other rows are."""
    logits: list[float] = network_evidence(measured_inputs(colours)[:, None], load_network(NETWORK_FILE))[:, 0].tolist()
    return logits


def cnn_logit(picture: RGB) -> float:
    """Returns the log-odds that the colours of a picture, uint8 [H, W, 3], are natural, by a square copy of it."""
    square = cv2.resize(picture, (CNN_PX, CNN_PX), interpolation=cv2.INTER_AREA)
    blob: NDArray[np.float32] = (square.transpose(2, 0, 1)[None].astype(np.float32) - _MEAN) / _STD
    with opencv_memory_errors():
        network = _network()
        network.setInput(blob)
        return float(network.forward()[0, 0])


def _network() -> cv2.dnn.Net:
    """Returns the convolutional network of this thread: OpenCV's networks are not safe to share."""
    network: cv2.dnn.Net | None = getattr(_of_thread, "network", None)
    if network is None:
        try:
            network = _of_thread.network = cv2.dnn.readNetFromONNX(np.fromfile(CNN_FILE, np.uint8))
        except cv2.error as error:  # short of memory, OpenCV also says that the arguments are wrong
            raise MemoryError(f"{CNN_FILE.name} cannot be loaded: {error}") from error
    return network


_of_thread = threading.local()
