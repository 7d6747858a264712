"""The flips and rotations of a picture, in the order of `schemas.SYMMETRIES`."""

import numpy as np
from numpy.typing import NDArray

from recolor.manifests.schemas import SYMMETRIES

# For each symmetry: whether to transpose, then to mirror left-right, then top-bottom. Rotations are clockwise.
STEPS = (
    (False, False, False),
    (False, True, False),
    (False, False, True),
    (False, True, True),
    (True, False, False),
    (True, True, False),
    (True, False, True),
    (True, True, True),
)


def apply_symmetry(picture: NDArray[np.uint8], symmetry: str) -> NDArray[np.uint8]:
    """Returns an image, uint8 [H, W, ...], flipped or rotated by one of `SYMMETRIES`."""
    transposed, mirrored, upside_down = STEPS[SYMMETRIES.index(symmetry)]
    picture = picture.swapaxes(0, 1) if transposed else picture
    picture = picture[:, ::-1] if mirrored else picture
    return picture[::-1] if upside_down else picture
