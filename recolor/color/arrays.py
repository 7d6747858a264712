"""Array types, named for what they hold."""

import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]  # sRGB [..., 3], 0..255
Grey = NDArray[np.uint8]  # one channel [H, W], 0..255
Lab = NDArray[np.float32]  # CIELAB [..., 3]: L 0..100, a and b in Lab units
AB = NDArray[np.float32]  # a and b [..., 2], in Lab units
Floats = NDArray[np.float64]  # statistics and measurements
