"""Candidates for pictures that overlap, neither of which shows all of the other: two crops of one photograph.

Two kinds are searched. Both pictures were cut along the same side, at opposite ends. Or one was cut in width and the
other in height, to two aspect ratios. What they share is a window of each, and windows have hashes
(`recolor.cleaning.windows`). Only windows of the same shape can be the same part, so few have to be compared.
"""

from collections.abc import Iterator

import numpy as np

from recolor.cleaning.detect.hamming import Hashes, Indices, pairs_within
from recolor.cleaning.windows import WINDOWS
from recolor.color.arrays import Floats

Overlaps = tuple[Indices, Indices, Indices, Indices]  # picture, its window, other picture, its window

_ASPECTS = (1e-3, 1e3)  # a manifest may say anything
_MAX_SHAPE = 0.04  # the largest difference in ln(width / height): a hash tolerates about as much
_LEFT, _RIGHT, _TOP, _BOTTOM = WINDOWS.T
_ACROSS, _DOWN = (_TOP == 0.0) & (_BOTTOM == 1.0), (_LEFT == 0.0) & (_RIGHT == 1.0)  # cut in width, in height
_KINDS = (
    (np.flatnonzero(_ACROSS), np.flatnonzero(_DOWN)),
    (np.flatnonzero(_ACROSS & (_RIGHT == 1.0)), np.flatnonzero(_ACROSS & (_LEFT == 0.0))),
    (np.flatnonzero(_DOWN & (_BOTTOM == 1.0)), np.flatnonzero(_DOWN & (_TOP == 0.0))),
)
_SHAPES: Floats = np.log((_RIGHT - _LEFT) / (_BOTTOM - _TOP))


def overlaps(ones: Hashes, aspects: Floats, others: Hashes, other_aspects: Floats, distance: int) -> Iterator[Overlaps]:
    """Finds windows of two sets of pictures that have near hashes and the same shape.

    A pair of windows is searched in one order: cut in width in the first set and in height in the second, or with the
    first picture left of or above the second.

    Args:
        ones: uint64 [N, windows].
        aspects: float64 [N], width / height.
        others: uint64 [M, windows].
        other_aspects: float64 [M].
        distance: Maximum Hamming distance, 0..16.

    Yields:
        Indices of pictures in `ones`, of their windows, of pictures in `others` and of theirs, int64 [pairs] each.
    """
    for first, second in _KINDS:
        places, shapes = _by_shape(first, aspects)
        other_places, other_shapes = _by_shape(second, other_aspects)
        for some, alike in _slices(shapes, other_shapes):
            pictures, windows = np.divmod(places[some], len(WINDOWS))
            other_pictures, other_windows = np.divmod(other_places[alike], len(WINDOWS))
            near = pairs_within(ones[pictures, windows], others[other_pictures, other_windows], distance)
            for one, other in near:
                same_shape = np.abs(shapes[some][one] - other_shapes[alike][other]) <= _MAX_SHAPE
                one, other = one[same_shape], other[same_shape]  # noqa: PLW2901  (the pairs, fewer of them)
                yield pictures[one], windows[one], other_pictures[other], other_windows[other]


def _by_shape(windows: Indices, aspects: Floats) -> tuple[Indices, Floats]:
    """Returns places in [pictures, windows] of these windows by ln(width / height), and their ln(width / height)."""
    shapes = (np.log(np.clip(aspects, *_ASPECTS))[:, None] + _SHAPES[windows]).reshape(-1)
    places = (np.arange(len(aspects))[:, None] * len(WINDOWS) + windows).reshape(-1)
    order = np.argsort(shapes, kind="stable")
    return places[order], shapes[order]


def _slices(shapes: Floats, others: Floats) -> Iterator[tuple[slice, slice]]:
    """Yields slices of windows, and slices of others that may have nearly the same shape; both arrays ascend."""
    start = 0
    while start < len(shapes):
        end = max(start + 1, int(np.searchsorted(shapes, shapes[start] + _MAX_SHAPE)))  # also if it is not a number
        first, last = np.searchsorted(others, (shapes[start] - _MAX_SHAPE, shapes[end - 1] + _MAX_SHAPE))
        if first < last:
            yield slice(start, end), slice(int(first), int(last))
        start = end
