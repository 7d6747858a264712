"""Suggests a threshold from the scores of a data set.

A detector's score is calibrated on other images; another camera, size or compression shifts the scores of a whole
data set. In log-odds, ln(score / (1 - score)), most images form one mode and the outliers another, to its left. A
mixture of two normal distributions is fitted: the bulk, whose spread is that of its left half, and the outliers, with
a prior where the detector expects them. The suggestion is the threshold with the greatest expected F1.
`docs/decisions/2026-11-suggested-thresholds.md` compares alternatives.
"""

import numpy as np

from recolor.color.arrays import Floats

MIN_IMAGES = 50  # fewer images do not show a distribution
PRIOR_MEAN, PRIOR_STD = -2.5, 2.0  # log-odds at which the detectors put planted outliers
PRIOR_SHARE = 0.05  # weight of that prior, as a share of the images
_ITERATIONS = 100
_LEAST_VARIANCE = 0.05  # of the bulk, for data sets of equal scores


def suggest_threshold(scores: Floats) -> float | None:
    """Returns the threshold with the greatest expected F1.

    Two normal distributions of the log-odds are fitted by expectation-maximisation (Dempster, Laird and Rubin 1977).
    The bulk is centred on its median and has the spread of its left half, where the outliers are. The outliers have a
    prior (`PRIOR_MEAN`, `PRIOR_STD`) with the weight of `PRIOR_SHARE` of the images, so that a few outliers, or the
    tail of the bulk, do not dominate the fit. The expected F1 is 2 TP / (flagged + outliers), each a sum of
    probabilities (Lipton, Elkan and Naryanaswamy 2014).

    Args:
        scores: float64 [images], 0..1; 0 is certainly an outlier.

    Returns:
        A threshold in 0..1 with two digits; None with fewer than `MIN_IMAGES` images or if no outlier is expected.
    """
    if len(scores) < MIN_IMAGES:
        return None
    x = np.sort(log_odds(scores))
    outlier = _probabilities(x)
    outliers = outlier.sum()
    if outliers < 0.5:
        return None
    f1 = 2 * np.cumsum(outlier) / (np.arange(1, len(x) + 1) + outliers)
    last = int(np.argmax(f1))
    above = x[last + 1] if last + 1 < len(x) else x[last]
    return _two_digits(float(1 / (1 + np.exp(-(x[last] + above) / 2))))


def _probabilities(x: Floats) -> Floats:
    """Returns the probability that each of some ascending log-odds is an outlier.

    Returns:
        float64 [images], falling.
    """
    weight = max(PRIOR_SHARE * len(x), 1.0)
    outlier = 1 / (1 + np.exp(x))  # the detector's own guess
    for _ in range(_ITERATIONS):
        count = outlier.sum()
        mean = (outlier @ x + weight * PRIOR_MEAN) / (count + weight)
        variance = (outlier @ (x - mean) ** 2 + weight * PRIOR_STD**2) / (count + weight)
        share = (count + 1) / (len(x) + 2)
        log_outlier = np.log(share / (1 - share)) - 0.5 * np.log(variance) - 0.5 * (x - mean) ** 2 / variance
        before, outlier = outlier, _posterior(x, 1 - outlier, log_outlier)
        if np.abs(outlier - before).max() < 1e-4:
            break
    return np.asarray(np.maximum.accumulate(outlier[::-1])[::-1])


def _posterior(x: Floats, bulk: Floats, log_outlier: Floats) -> Floats:
    """Returns the posterior probability of an outlier; 0 in the right half of the bulk."""
    members = x[bulk > 0.5]
    centre = float(np.median(members if len(members) else x))
    left = x < centre
    variance = float(bulk[left] @ (x[left] - centre) ** 2) / max(float(bulk[left].sum()), 1e-9)
    variance = max(variance, _LEAST_VARIANCE)
    log_bulk = -0.5 * np.log(variance) - 0.5 * (x - centre) ** 2 / variance
    return np.where(left, 1 / (1 + np.exp(np.clip(log_bulk - log_outlier, -500, 500))), 0.0)


def log_odds(scores: Floats) -> Floats:
    """Returns ln(score / (1 - score)) of scores clipped to 1e-9..1 - 1e-9."""
    inside = np.clip(scores, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _two_digits(threshold: float) -> float:
    """Returns the threshold rounded to two significant digits of its distance from 0 or 1."""
    digits = max(2, 1 - int(np.floor(np.log10(max(min(threshold, 1 - threshold), 1e-9)))))
    return round(threshold, digits)
