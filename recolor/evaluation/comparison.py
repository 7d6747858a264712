"""Compares two models on the same images: differences of metrics with confidence intervals."""

from dataclasses import dataclass
from typing import Literal

from recolor.evaluation.methods import Method
from recolor.evaluation.summary import METRICS, Resampled, metric_interval

# More colourfulness or orange is neither better nor worse: the target is that of the photographs, see `delta_cf_*`.
_HIGHER = {"psnr_db", "ssim", "ab_psnr_db", "ab_psnr_db_set", "closer_than_grey", "hue_kept", "green_kept"}
_NEITHER = {"colourfulness", "colourfulness_abs", "orange_ratio"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One metric of two models on the same images.

    Attributes:
        metric: Name of the metric, a field of `SetMetrics`.
        first, second: Value of each model.
        difference: second - first.
        low, high: 95% confidence interval of the difference; each resample draws the same images for both models.
        better: Label of the better model; empty if the interval contains 0 or the metric has no better direction.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    better: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences of two complete models in every metric."""

    first: Method
    second: Method
    differences: tuple[Difference, ...]


def compare(first: Resampled, second: Resampled) -> Comparison:
    """Compares two methods measured on the same images in every metric that both have."""
    has_both = [metric for metric in METRICS if getattr(first.metrics, metric) is not None]
    return Comparison(first.method, second.method, tuple(difference(metric, first, second) for metric in has_both))


def direction(metric: str) -> Literal["higher", "lower", "neither"]:
    """Returns which values of a metric are better."""
    if metric in _HIGHER:
        return "higher"
    return "neither" if metric in _NEITHER else "lower"


def difference(metric: str, first: Resampled, second: Resampled) -> Difference:
    """Returns the difference of two methods in a metric that both have, with its interval."""
    of_first, of_second = (float(getattr(one.metrics, metric)) for one in (first, second))
    drawn = getattr(second.drawn, metric) - getattr(first.drawn, metric)
    low, high = metric_interval(metric, of_second - of_first, drawn)
    sign = {"higher": 1, "lower": -1, "neither": 0}[direction(metric)]
    ahead = sign * (1 if low > 0 else -1 if high < 0 else 0)
    return Difference(
        metric=metric,
        first=of_first,
        second=of_second,
        difference=of_second - of_first,
        low=low,
        high=high,
        better={1: second.method.model, -1: first.method.model, 0: ""}[ahead],
    )
