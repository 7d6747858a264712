"""Hues of coloured images: which hue each pixel of a photograph has, and which hue it was given.

A model can be as colourful as the photographs and still turn grass ochre. Colourfulness does not show that; the shares
of hues, and the hue that pixels of each true hue were given, do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import Floats, Lab
from recolor.manifests.schemas import HUES

# The limits lie where people change the name of a colour. In Munroe's survey (2010, xkcd.com; `XKCD_COLORS` of
# matplotlib), 92% of the 550 colours whose name ends in a hue are in the class of that name; most others name two hues,
# or are light yellows with the angle of grass. sRGB's primaries fit: red 40, yellow 103, green 136, cyan 196, blue 306,
# magenta 328. Grass of photographs has 95 to 130: below 103, most of it is dry or in evening light.
HUE_LIMITS_DEG = (-52.0, 45.0, 103.0, 175.0)  # CIELAB hue angles, -180..180
_BETWEEN_LIMITS = ("blue", "red", "orange", "green", "blue")
# Greys of the survey without a hue in their name (medium, cool, warm, steel, slate) have a chroma of at most 8.3;
# bluish and pinkish grey have 10.6 and more.
NEUTRAL_CHROMA = 9.0

_NEUTRAL = HUES.index("neutral")
_COLOURED = [number for number, hue in enumerate(HUES) if hue != "neutral"]
_CLASS_BETWEEN_LIMITS = np.array([HUES.index(hue) for hue in _BETWEEN_LIMITS], np.uint8)


@dataclass(frozen=True, slots=True)
class PixelHues:
    """Hue and chroma of each pixel of an image.

    Attributes:
        hue: uint8 [H, W], an index into `HUES`.
        chroma: float32 [H, W], C*ab in Lab units.
    """

    hue: NDArray[np.uint8]
    chroma: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HueCounts:
    """Pixels by true hue and by the hue they were given; leading axes are images or resamples.

    Attributes:
        pixels: [..., 5, 5], the number of pixels by true hue (rows) and given hue (columns), in the order of `HUES`.
            int64 for an image; float64 for resamples, which are exact up to 2^53 pixels.
        truth_chroma: [..., 5], sum of the photographs' chroma over the pixels of each true hue, in Lab units.
        chroma: [..., 5], sum of the coloured images' chroma over the same pixels.
    """

    pixels: NDArray[np.int64] | Floats
    truth_chroma: Floats
    chroma: Floats


@dataclass(frozen=True, slots=True)
class HueMetrics:
    """Hues of all pixels of a set of images; NaN for a true hue that no pixel has.

    Leading axes are resamples. The last axes are hues in the order of `HUES`.

    Attributes:
        truth_share: [..., 5], share of the photographs' pixels, 0..1.
        share: [..., 5], share of the coloured images' pixels, 0..1.
        share_ratio: [..., 5], share / truth_share.
        confusion: [..., 5, 5], shares of the given hues (columns) among the pixels of a true hue (rows); rows sum to 1.
        truth_chroma: [..., 5], mean chroma of the photographs over the pixels of each true hue, in Lab units.
        chroma: [..., 5], mean chroma of the coloured images over the same pixels.
    """

    truth_share: Floats
    share: Floats
    share_ratio: Floats
    confusion: Floats
    truth_chroma: Floats
    chroma: Floats


def pixel_hues(lab: Lab) -> PixelHues:
    """Returns the hue of each pixel.

    It is neutral below a chroma C*ab of `NEUTRAL_CHROMA`, else given by the hue angle h_ab (CIE 15:2018). Orange is
    orange, yellow and brown; red is red, pink and purple; blue includes cyan. An angle that is a limit belongs to the
    class above.

    Args:
        lab: CIELAB [H, W, 3].
    """
    a, b = lab[..., 1], lab[..., 2]
    chroma, angle = np.hypot(a, b), np.arctan2(b, a)
    limits_passed = np.zeros(angle.shape, np.uint8)
    for limit_deg in HUE_LIMITS_DEG:  # three times as fast as np.searchsorted
        limits_passed += angle >= np.float32(np.radians(limit_deg))
    hue = _CLASS_BETWEEN_LIMITS.take(limits_passed)
    hue[chroma < np.float32(NEUTRAL_CHROMA)] = _NEUTRAL
    return PixelHues(hue, chroma)


def hue_counts(coloured: PixelHues, truth: PixelHues) -> HueCounts:
    """Returns the pixels of an image by true and given hue, from the coloured image and the photograph."""
    hues = len(HUES)
    true = truth.hue.ravel()
    pixels = np.bincount(np.uint8(hues) * true + coloured.hue.ravel(), minlength=hues * hues)
    return HueCounts(
        pixels.reshape(hues, hues).astype(np.int64),
        _sum_by(true, truth.chroma),
        _sum_by(true, coloured.chroma),
    )


def weighted_sums(images: Sequence[HueCounts], weights: Floats) -> HueCounts:
    """Returns sums over images: weights [..., N] of N images give counts [..., 5, 5] and [..., 5]."""
    stacked = (np.stack([getattr(image, item.name) for image in images]) for item in fields(HueCounts))
    return HueCounts(*(np.tensordot(weights, array, axes=1) for array in stacked))


def hue_metrics(counts: HueCounts) -> HueMetrics:
    """Returns the hues of one or several sets of pixels from their counts [...]."""
    truth, given = counts.pixels.sum(axis=-1), counts.pixels.sum(axis=-2)
    everything = truth.sum(axis=-1, keepdims=True)
    return HueMetrics(
        truth_share=_ratio(truth, everything),
        share=_ratio(given, everything),
        share_ratio=_ratio(given, truth),
        confusion=_ratio(counts.pixels, truth[..., None]),
        truth_chroma=_ratio(counts.truth_chroma, truth),
        chroma=_ratio(counts.chroma, truth),
    )


def hue_kept(counts: HueCounts) -> Floats:
    """Returns, [...], the share of the pixels with a true hue other than neutral that were given that hue."""
    pixels = counts.pixels[..., _COLOURED, :]
    kept = counts.pixels[..., _COLOURED, _COLOURED].sum(axis=-1)
    return _ratio(kept, pixels.sum(axis=(-2, -1)))


def _sum_by(hue: NDArray[np.uint8], values: NDArray[np.float32]) -> Floats:
    """Returns the sum of the values of each hue, float64 [5]."""
    return np.bincount(hue, values.ravel(), minlength=len(HUES)).astype(np.float64)


def _ratio(part: NDArray[np.int64] | Floats, whole: NDArray[np.int64] | Floats) -> Floats:
    """Returns part / whole, NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
