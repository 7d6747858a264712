"""The mid-grey area that a decoder leaves where data is missing, in pictures that were saved again afterwards."""

import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import RGB

# ITU-T T.81, A.3.1: samples are shifted by 128, so a block without coefficients has the grey level 128. Saving it again
# leaves it flat: none of 5,213 photographs has lines at an edge that are all within 4 levels of it.
_GREY = 128
_TOLERANCE = 4
# A decode breaks off within a row of blocks. A sky that turns to mid-grey does so by and by.
_STEP = 12
_STEP_LINES = 24  # more than a row of blocks, which the picture may fill in part
_STEP_SHARE = 0.1
# That row is grey from where it broke off to one end. A mat ends in a line, mostly not between two rows of blocks.
_BLOCK_PX = 8
_ROW_LINES = 3  # the first of them may be mixed, and in small copies a row of blocks has no more
_RUN_PX = 6
_Mask = NDArray[np.bool_]


def measure_grey_tail(rgb: RGB) -> float:
    """Returns the share of a picture, from an edge inwards, that is flat mid-grey since a decode broke off.

    A grey mat or frame is none: it is on other sides too, or ends in a line that is not between two blocks.

    Args:
        rgb: uint8 [H, W, 3], sRGB. Any edge counts: the picture may have been turned.

    Returns:
        0..1, in steps of a line; the largest of the four edges.
    """
    turned = rgb.swapaxes(0, 1)
    sides = (rgb, rgb[::-1], turned, turned[::-1])
    counts = [_count_grey(lines) for lines in sides]
    if sum(count > 0 for count in counts) > 1 and counts[0] < len(rgb):
        return 0.0  # a frame, and not a picture that is grey all over
    return max(_share(lines, count) for lines, count in zip(sides, counts, strict=True))


def _count_grey(lines: RGB) -> int:
    """Returns the number of lines that are mid-grey, from the first one on."""
    for count, line in enumerate(lines):
        if int(line.max()) > _GREY + _TOLERANCE or int(line.min()) < _GREY - _TOLERANCE:
            return count
    return len(lines)


def _share(lines: RGB, count: int) -> float:
    if count in (0, len(lines)):
        return count / len(lines)
    beyond = np.abs(lines[count : count + _STEP_LINES].astype(np.int16) - _GREY) >= _STEP
    if float(beyond.mean()) < _STEP_SHARE:
        return 0.0
    return 0.0 if _is_mat(lines, count) else count / len(lines)


def _is_mat(lines: RGB, count: int) -> bool:
    """Whether grey lines end in one line from end to end, and not between two rows of blocks."""
    if (len(lines) - count) % _BLOCK_PX <= 1:  # one more where colour is sampled at half the resolution
        return False
    following = lines[count : count + _ROW_LINES].astype(np.int16)
    is_grey: _Mask = np.asarray((np.abs(following - _GREY) <= _TOLERANCE).all(axis=2))
    return all(np.median(_runs(some)) < _RUN_PX for some in (is_grey, is_grey[:, ::-1]))


def _runs(is_grey: _Mask) -> NDArray[np.intp]:
    """Returns how many pixels are grey from the start of each line: [H]."""
    runs: NDArray[np.intp] = np.where(is_grey.all(axis=1), is_grey.shape[1], is_grey.argmin(axis=1))
    return runs
