"""The threshold that a data set's own scores suggest.

A detector's score is a calibrated guess; another camera, size or compression moves the scores of a whole set. In
log-odds, ln(score / (1 - score)), most images form one hump and outliers another, to its left. So a mixture of two is
fitted: the bulk, a normal distribution with the spread of its own left half, and the outliers, a normal distribution
that starts where the detector expects them and is let go as far as the data ask for it. The suggestion is the
threshold of the greatest expected F1. `docs/decisions/2026-11-suggested-thresholds.md` has what was compared.
"""

import numpy as np

from recolor.cleaning.detect.outlier_table import Floats

MIN_IMAGES = 50  # fewer tell nothing of their distribution
PRIOR_MEAN, PRIOR_STD = -2.5, 2.0  # log-odds at which the detectors put planted outliers
PRIOR_SHARE = 0.05  # of the images: what that prior weighs
_ITERATIONS = 100
_LEAST_VARIANCE = 0.05  # of the bulk: a set of equal scores has a spread, too


def suggest_threshold(scores: Floats) -> float | None:
    """The threshold of the greatest expected F1, under which the outliers of a data set lie.

    Expectation-maximisation of two normal distributions of the log-odds (Dempster, Laird and Rubin 1977). The bulk is
    centred on its median and has the spread of its left half, as outliers lie there and the right half is
    the detectors' own business. The outliers have a prior (`PRIOR_MEAN`, `PRIOR_STD`) as heavy as `PRIOR_SHARE` of the
    images, so that a few of them, or the bulk's own tail, don't lead the fit away. Then F1 is expected to be
    2 TP / (flagged + outliers), each a sum of probabilities (Lipton, Elkan and Naryanaswamy 2014).

    Args:
        scores: float64 [images], 0..1; 0 is certainly an outlier.

    Returns:
        A threshold in 0..1, of two digits; None with fewer than `MIN_IMAGES` or where no outlier is expected.
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
    """Probability of each of some ascending log-odds to be an outlier's: float64 [images], never rising."""
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
    """The outliers' density over both, the bulk being weighted by `bulk`; nothing in its right half is an outlier."""
    members = x[bulk > 0.5]
    centre = float(np.median(members if len(members) else x))
    left = x < centre
    variance = float(bulk[left] @ (x[left] - centre) ** 2) / max(float(bulk[left].sum()), 1e-9)
    variance = max(variance, _LEAST_VARIANCE)
    log_bulk = -0.5 * np.log(variance) - 0.5 * (x - centre) ** 2 / variance
    return np.where(left, 1 / (1 + np.exp(np.clip(log_bulk - log_outlier, -500, 500))), 0.0)


def log_odds(scores: Floats) -> Floats:
    """ln(score / (1 - score)), of scores kept a billionth away from 0 and 1."""
    inside = np.clip(scores, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _two_digits(threshold: float) -> float:
    """Rounded to two digits of its distance from 0 or 1, and to no more than hundredths in between."""
    digits = max(2, 1 - int(np.floor(np.log10(max(min(threshold, 1 - threshold), 1e-9)))))
    return round(threshold, digits)
