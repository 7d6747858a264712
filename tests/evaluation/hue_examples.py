"""Hues by another library, and those of a set of images for the tests of the report and of the tables."""

import numpy as np
from skimage.color import lab2lch, rgb2lab

from recolor.evaluation.hues import HueCounts, hue_metrics
from recolor.evaluation.summary import HueSummary
from recolor.manifests.schemas import HUES

TRUTH_PIXELS = (200, 300, 100, 0, 400)  # green, blue, orange, red, neutral


def hue_summary(green_as_orange):
    """Hues of 1,000 pixels, none of them red: some of the green ones turn orange, the others keep their hue."""
    pixels = np.diag(TRUTH_PIXELS)
    turned = round(200 * green_as_orange)
    pixels[0, 0], pixels[0, 2] = 200 - turned, turned
    true = pixels.sum(axis=1)
    metrics = hue_metrics(
        HueCounts(pixels, true * np.array([31.0, 24, 28, 0, 3]), true * np.array([18.0, 20, 26, 0, 4]))
    )
    return HueSummary(metrics, metrics, metrics)


def reference_counts(rgb, truth):
    """Counts and chroma sums pixel by pixel, in float64, from skimage's Lab and hue angle."""
    pixels, chroma, truth_chroma = np.zeros((5, 5), int), np.zeros(5), np.zeros(5)
    own, true = (lab2lch(rgb2lab(image)).reshape(-1, 3) for image in (rgb, truth))
    for (_, own_chroma, own_angle), (_, true_chroma, true_angle) in zip(own, true, strict=True):
        hue, given_hue = reference_hue(true_chroma, true_angle), reference_hue(own_chroma, own_angle)
        pixels[hue, given_hue] += 1
        chroma[hue] += own_chroma
        truth_chroma[hue] += true_chroma
    return pixels, truth_chroma, chroma


def reference_hue(chroma, angle):
    """The class of an angle of 0..2π."""
    degrees = np.degrees(angle)
    if chroma < 9:
        return HUES.index("neutral")
    if 45 <= degrees < 103:
        return HUES.index("orange")
    if 103 <= degrees < 175:
        return HUES.index("green")
    return HUES.index("blue" if 175 <= degrees < 308 else "red")
