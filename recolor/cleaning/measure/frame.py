"""What is inside a frame of one colour, or between two bars, so that copies with and without one hash alike."""

import numpy as np

from recolor.color.arrays import Grey

_TOLERANCE = 12  # grey levels; the ringing of JPEG beside the frame stays within it in most pixels
_FRAME_SHARE = 0.98  # of the pixels of a line of the frame have its level
_STEP_LINES = 3
_STEP_SHARE = 0.3  # of the pixels behind the frame have another level: else it is a plain background
_MAX_SHARE = 0.3  # of a side may be frame


def without_frame(grey: Grey) -> Grey:
    """Returns the part of a picture inside its frame, a view; the picture itself if it has none.

    Opposite sides of a frame have one colour. The same width is cut from both, the smaller of the two that look like a
    frame: a white sky inside a white frame stays.

    Args:
        grey: uint8 [H, W].
    """
    inside = _between_bars(grey)
    return _between_bars(inside.T).T


def _between_bars(grey: Grey) -> Grey:
    """Returns the rows between two bars of one level, or all."""
    first, last = (np.sort(row, kind="stable") for row in (grey[0], grey[-1]))  # of bytes, the faster one
    level, other_level = int(first[len(first) // 2]), int(last[len(last) // 2])
    if abs(level - other_level) > _TOLERANCE or not (_uniform(first, level) and _uniform(last, other_level)):
        return grey
    most = int(len(grey) * _MAX_SHARE)
    width = min(_bar(lines, level) for lines in (grey[:most], grey[::-1][:most]))
    inside = grey[width : len(grey) - width]
    behind = (_other_share(lines[:_STEP_LINES], level) for lines in (inside, inside[::-1]))
    return inside if 0 < width < most and max(behind) >= _STEP_SHARE else grey


def _bar(lines: Grey, level: int) -> int:
    """Returns the number of lines, from the first on, that have the level."""
    for count, line in enumerate(lines):
        if _other_share(line, level) > 1 - _FRAME_SHARE:
            return count
    return len(lines)


def _uniform(ranked: Grey, level: int) -> bool:
    """Whether values in ascending order have the level, as most of the pixels of a frame do."""
    ends = np.array([max(level - _TOLERANCE, 0), min(level + _TOLERANCE, 255)], np.uint8)
    inside = np.searchsorted(ranked, ends[1], "right") - np.searchsorted(ranked, ends[0], "left")
    return bool(inside >= _FRAME_SHARE * len(ranked))


def _other_share(values: Grey, level: int) -> float:
    """Returns the share of the values that differ from a level by more than the tolerance."""
    return float(np.mean(np.abs(values.astype(np.int16) - level) > _TOLERANCE))
