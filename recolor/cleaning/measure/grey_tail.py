"""The mid-grey area that a decoder leaves where data is missing, in pictures that were saved again afterwards."""

import numpy as np

from recolor.color.arrays import RGB

# ITU-T T.81, A.3.1: samples are shifted by 128, so a block without coefficients has the grey level 128. Saving it again
# leaves it flat: none of 5,213 photographs has lines at an edge that are all within 4 levels of it.
_GREY = 128
_TOLERANCE = 4
# A decode breaks off within a row of blocks. A sky that turns to mid-grey does so by and by.
_STEP = 12
_STEP_LINES = 24  # more than a row of blocks, which the picture may fill in part
_STEP_SHARE = 0.1


def measure_grey_tail(rgb: RGB) -> float:
    """Returns the share of a picture, from an edge inwards, that is flat mid-grey behind a sharp border.

    Args:
        rgb: uint8 [H, W, 3], sRGB. Any edge counts: the picture may have been turned.

    Returns:
        0..1, in steps of a line; the largest of the four edges.
    """
    turned = rgb.swapaxes(0, 1)
    return max(_tail(lines) for lines in (rgb, rgb[::-1], turned, turned[::-1]))


def _tail(lines: RGB) -> float:
    count = 0
    for line in lines:
        if int(line.max()) > _GREY + _TOLERANCE or int(line.min()) < _GREY - _TOLERANCE:
            break
        count += 1
    if count == 0 or count == len(lines):
        return count / len(lines)
    beyond = np.abs(lines[count : count + _STEP_LINES].astype(np.int16) - _GREY) >= _STEP
    return count / len(lines) if float(beyond.mean()) >= _STEP_SHARE else 0.0
