"""The windows of a picture that are hashed as if they had been cut out, so that cut copies are found.

A hash tolerates about 3% of a side. Any cut by up to 30% of the width or the height is within that of some window:
from one side, or to another aspect ratio (16:9 to 4:3 keeps 0.75), wherever the rest lies. So are cuts by up to a tenth
from all sides and at a corner.
"""

from itertools import product

import numpy as np

from recolor.color.arrays import Floats

Span = tuple[float, float]  # from where to where along a side, as shares of it

_WHOLE: Span = (0.0, 1.0)
_STEP, _STEPS = 0.06, 5  # between the windows, and the most that are cut off in all


def _kept(share: float, places: int) -> tuple[Span, ...]:
    """Returns spans of one length, evenly spaced from the start of the side to its end."""
    return tuple((float(start), float(start) + share) for start in np.linspace(0.0, 1.0 - share, places))


def _centre(share: float) -> Span:
    return ((1.0 - share) / 2, (1.0 + share) / 2)


# Cut from one side, or from both.
_CUT = tuple(
    (start * _STEP, 1.0 - end * _STEP)
    for start in range(_STEPS + 1)
    for end in range(_STEPS + 1 - start)
    if start + end
)
# Each block is all pairs of a vertical and a horizontal span.
BLOCKS: tuple[tuple[tuple[Span, ...], tuple[Span, ...]], ...] = (
    (_kept(0.92, 3), _kept(0.92, 3)),
    ((_WHOLE,), _CUT),
    (_CUT, (_WHOLE,)),
    *(((_centre(share),), (_centre(share),)) for share in (0.85, 0.8)),
)
# float64 [windows, 4]: left, right, top and bottom, in the order of the hashes.
WINDOWS: Floats = np.array(
    [(*across, *down) for downs, acrosses in BLOCKS for down, across in product(downs, acrosses)], np.float64
)
