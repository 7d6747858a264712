"""The transfer curve of sRGB (IEC 61966-2-1), for NumPy arrays; for tensors it is in `lab_torch`."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", bound=np.floating)


def srgb_to_linear(value: NDArray[Real]) -> NDArray[Real]:
    """Returns linear light 0..1 of sRGB values 0..1, in their dtype; values below 0 go on as a line."""
    return np.where(value > 0.04045, ((np.maximum(value, 0) + 0.055) / 1.055) ** 2.4, value / 12.92)


def linear_to_srgb(linear: NDArray[Real]) -> NDArray[Real]:
    """Returns sRGB values 0..1 of linear light 0..1, in its dtype; light below 0 goes on as a line."""
    return np.where(linear > 0.0031308, 1.055 * np.power(np.maximum(linear, 0), 1 / 2.4) - 0.055, 12.92 * linear)
