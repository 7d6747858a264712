"""Bootstrap intervals over photographs (Efron 1979): all pictures made of one photograph are drawn together.

A figure is an array [1 + RESAMPLES]: its value, and its values in the resamples. Row 0 of the weights is all ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 1000
SEED = 0
COVERAGE = (0.025, 0.975)
SMALL = 0.1  # intervals below are printed with three digits


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return ""
        digits = 3 if self.high < SMALL else 2
        return f"{_short(self.value)} {_short(self.low, digits)}-{_short(self.high, digits)}"


@dataclass(frozen=True, slots=True)
class Resamples:
    """How often each photograph is drawn: [1 + RESAMPLES, photographs]."""

    index: dict[str, int]
    counts: NDArray[np.float32]

    def of(self, photographs: Sequence[str]) -> NDArray[np.float32]:
        """Weights of rows that were made of these photographs: [1 + RESAMPLES, rows]."""
        return self.counts[:, [self.index[name] for name in photographs]]


def resample(photographs: Sequence[str]) -> Resamples:
    """Draws as many photographs as there are, with replacement, `RESAMPLES` times."""
    names = sorted(set(photographs))
    drawn = np.random.default_rng(SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    counts = np.concatenate([np.ones((1, len(names))), drawn]).astype(np.float32)
    return Resamples({name: at for at, name in enumerate(names)}, counts)


def estimate(figure: Floats) -> Estimate:
    """The value, and the interval of the resamples; resamples without a row of the kind do not count."""
    if np.isnan(figure[0]):
        return Estimate(np.nan, np.nan, np.nan)
    low, high = np.nanquantile(figure[1:], COVERAGE)
    return Estimate(float(figure[0]), float(low), float(high))


def share(hits: NDArray[np.generic], weights: NDArray[np.float32]) -> Floats:
    """The weighted share of hits."""
    return ratio(weights @ hits.astype(np.float64), weights.sum(axis=1))


def ratio(part: Floats, whole: Floats) -> Floats:
    """One over the other; NaN where there is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan), np.float64)


def auc(bad: Floats, bad_weights: NDArray[np.float32], good: Floats, good_weights: NDArray[np.float32]) -> Floats:
    """Probability that a bad picture scores under a good one, ties half (Mann and Whitney's U)."""
    order = np.argsort(good)
    before = np.concatenate([np.zeros((len(good_weights), 1)), np.cumsum(good_weights[:, order], axis=1)], axis=1)
    left, right = (np.searchsorted(good[order], bad, side) for side in ("left", "right"))
    above, ties = before[:, -1:] - before[:, right], before[:, right] - before[:, left]
    won = (bad_weights * (above + ties / 2)).sum(axis=1)
    return ratio(won, bad_weights.sum(axis=1) * before[:, -1])


def recall_at(
    bad: Floats,
    bad_weights: NDArray[np.float32],
    good: Floats,
    good_weights: NDArray[np.float32],
    false_alarms: float = 0.01,
) -> Floats:
    """Recall at the threshold under which this share of the good pictures lies."""
    order = np.argsort(good)
    total = np.cumsum(good_weights[:, order], axis=1)
    limit = (total < false_alarms * total[:, -1:]).sum(axis=1)  # the position of the threshold among the sorted
    under = np.searchsorted(good[order], bad, "right") <= limit[:, None]
    return ratio((bad_weights * under).sum(axis=1), bad_weights.sum(axis=1))


def _short(value: float, digits: int = 3) -> str:
    words = f"{value:.{digits}f}"
    return words[1:] if words.startswith("0") else words
