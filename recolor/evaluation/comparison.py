"""Two models on the same images: by how much they differ, and whether that could be chance."""

from dataclasses import dataclass
from typing import Literal

from recolor.evaluation.methods import Method
from recolor.evaluation.summary import METRICS, Resampled, metric_interval

# Colourfulness has no better end: what it should be is the photographs', which `delta_cf_*` measure.
_HIGHER = {"psnr_db", "ssim", "ab_psnr_db", "ab_psnr_db_set"}
_NEITHER = {"colourfulness", "colourfulness_abs"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One metric of two models on the same images.

    Attributes:
        metric: Its name, a field of `SetMetrics`.
        first, second: Its value for each.
        difference: second - first.
        low, high: The 95% interval of the difference, each resample drawing the same images for both.
        better: Label of the model that the whole interval speaks for; empty where it speaks for neither, or where
            neither end is better.
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
    """Two models, each as a whole, metric by metric."""

    first: Method
    second: Method
    differences: tuple[Difference, ...]


def compare(first: Resampled, second: Resampled) -> Comparison:
    """Compares two methods that were measured on the same images, in every metric that both have."""
    has_both = [metric for metric in METRICS if getattr(first.metrics, metric) is not None]
    return Comparison(first.method, second.method, tuple(_difference(metric, first, second) for metric in has_both))


def direction(metric: str) -> Literal["higher", "lower", "neither"]:
    """Which values of a metric are better."""
    if metric in _HIGHER:
        return "higher"
    return "neither" if metric in _NEITHER else "lower"


def _difference(metric: str, first: Resampled, second: Resampled) -> Difference:
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
