"""Metrics and hues of a set of images with their bootstrap confidence intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from recolor.evaluation.bootstrap import (
    Bounds,
    magnitude_interval,
    normal_interval,
    percentile_bounds,
    percentile_interval,
    resample_counts,
)
from recolor.evaluation.distributions import MIN_IMAGES, fid, kid, kid_terms
from recolor.evaluation.hues import HueCounts, HueMetrics, hue_kept, hue_metrics, weighted_sums
from recolor.evaluation.measure import ImageScores, Score
from recolor.evaluation.methods import Method
from recolor.evaluation.metrics import MAX_PSNR_DB
from recolor.manifests.schemas import HUES

Float64Array = NDArray[np.float64]
T = TypeVar("T", float, Float64Array)

FID_RESAMPLES = (
    100  # each needs a singular value decomposition; a standard error needs fewer resamples than percentiles
)
_GREEN, _ORANGE = HUES.index("green"), HUES.index("orange")
_MAGNITUDES = {"delta_cf_set": "colourfulness", "delta_cf_set_abs": "colourfulness_abs"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SetMetrics(Generic[T]):
    """Metrics of a set of coloured images: numbers, or arrays [B] for B resamples.

    Attributes:
        psnr_db, ssim, delta_e_2000, ab_mse, ab_psnr_db, ab_distance: Means over the images; see `ImageMetrics`.
        ab_rmse: RMSE of ab over all pixels of the set, in Lab units.
        ab_psnr_db_set: PSNR of ab over all pixels of the set: that of the mean ab_mse.
        colourfulness, colourfulness_abs, truth_colourfulness, truth_colourfulness_abs: Means over the images.
        delta_cf_set: |mean colourfulness - mean colourfulness of the photographs|, the ΔCF of the literature.
        delta_cf_set_abs: The same for `colourfulness_abs`.
        delta_cf_image: Mean over images of |colourfulness - colourfulness of the photograph|. Too vivid and too grey
            images do not cancel out.
        closer_than_grey: Share of the images whose ΔE2000 is below that of the grey image.
        hue_kept: Share of the pixels with a true hue other than neutral that were given that hue.
        green_kept: Share of the truly green pixels that were given green.
        orange_ratio: Share of orange in the coloured images divided by that in the photographs.
            Like `hue_kept` and `green_kept`, None if the photographs have no such pixel.
        lpips: Mean over the images; None without the weights.
        fid, kid: Distances of the set; None without Inception's weights.
    """

    psnr_db: T
    ssim: T
    delta_e_2000: T
    ab_mse: T
    ab_rmse: T
    ab_psnr_db: T
    ab_psnr_db_set: T
    ab_distance: T
    colourfulness: T
    colourfulness_abs: T
    truth_colourfulness: T
    truth_colourfulness_abs: T
    delta_cf_set: T
    delta_cf_set_abs: T
    delta_cf_image: T
    closer_than_grey: T
    hue_kept: T | None = None
    green_kept: T | None = None
    orange_ratio: T | None = None
    lpips: T | None = None
    fid: T | None = None
    kid: T | None = None


METRICS = tuple(item.name for item in fields(SetMetrics) if not item.name.startswith("truth_"))


@dataclass(frozen=True, slots=True)
class HueSummary:
    """Hues of one method over all images, and the bounds of their 95% intervals."""

    metrics: HueMetrics
    low: HueMetrics
    high: HueMetrics


@dataclass(frozen=True, slots=True)
class Summary:
    """Metrics of one method over all images, the bounds of their 95% intervals, and its hues."""

    method: Method
    images: int
    metrics: SetMetrics[float]
    low: SetMetrics[float]
    high: SetMetrics[float]
    hues: HueSummary


@dataclass(frozen=True, slots=True)
class Resampled:
    """Metrics and hues of one method over all images and each resample (`FID_RESAMPLES` for FID)."""

    method: Method
    images: int
    metrics: SetMetrics[float]
    drawn: SetMetrics[Float64Array]
    hues: HueCounts
    drawn_hues: HueCounts


def resample(images: Sequence[ImageScores]) -> list[Resampled]:
    """Returns the metrics of every method over at least one image, in the order of the methods.

    All methods use the same resamples: equal rows of `drawn` are metrics of the same images.
    """
    return [_resample_method(images, number) for number in range(len(images[0].scores))]


def summarise(resampled: Resampled) -> Summary:
    """Returns metrics and intervals: normal for FID, percentiles for the others."""
    bounds = {metric: _interval(resampled, metric) for metric in METRICS}
    low, high = (replace(resampled.metrics, **_ends(bounds, end)) for end in (0, 1))
    return Summary(resampled.method, resampled.images, resampled.metrics, low, high, _summarise_hues(resampled))


def metric_interval(metric: str, value: float, drawn: Float64Array) -> Bounds:
    """Returns the interval of a metric, or of a difference of it, from its resampled values."""
    return normal_interval(value, drawn) if metric == "fid" else percentile_interval(drawn)


def _interval(resampled: Resampled, metric: str) -> Bounds | None:
    value, drawn = getattr(resampled.metrics, metric), getattr(resampled.drawn, metric)
    if value is None:
        return None
    if metric not in _MAGNITUDES:
        return metric_interval(metric, value, drawn)
    of = _MAGNITUDES[metric]
    signed = getattr(resampled.drawn, of) - getattr(resampled.drawn, f"truth_{of}")
    return magnitude_interval(percentile_interval(signed))


def _summarise_hues(resampled: Resampled) -> HueSummary:
    drawn = hue_metrics(resampled.drawn_hues)
    lows, highs = zip(*(percentile_bounds(getattr(drawn, item.name)) for item in fields(HueMetrics)), strict=True)
    return HueSummary(hue_metrics(resampled.hues), HueMetrics(*lows), HueMetrics(*highs))


def _ends(bounds: Mapping[str, Bounds | None], end: int) -> dict[str, float]:
    return {metric: both[end] for metric, both in bounds.items() if both is not None}


def _resample_method(images: Sequence[ImageScores], number: int) -> Resampled:
    scores = [image.scores[number] for image in images]
    measured = {name: np.array([getattr(score.metrics, name) for score in scores]) for name in _measured(scores[0])}
    measured["closer_than_grey"] = np.array([image.closer_than_grey(number) for image in images], np.float64)
    everything = _set_metrics(measured, np.ones((1, len(images))))
    metrics: SetMetrics[float] = SetMetrics(**{name: float(array[0]) for name, array in everything.items()})
    blocks = [_set_metrics(measured, counts) for counts in resample_counts(len(images))]
    drawn: SetMetrics[Float64Array] = SetMetrics(
        **{name: np.concatenate([b[name] for b in blocks]) for name in everything}
    )
    hues, drawn_hues = _sum_hues([score.hues for score in scores])
    metrics, drawn = _with_hues(metrics, drawn, (hues, drawn_hues))
    if scores[0].features is not None and len(images) >= MIN_IMAGES:
        metrics, drawn = _with_distances(metrics, drawn, _features(images, scores))
    return Resampled(scores[0].method, len(images), metrics, drawn, hues, drawn_hues)


def _measured(score: Score) -> list[str]:
    """Returns the names of the metrics that each image has."""
    names = [item.name for item in fields(score.metrics)]
    return names if score.metrics.lpips is not None else [name for name in names if name != "lpips"]


def _set_metrics(measured: Mapping[str, Float64Array], counts: Float64Array) -> dict[str, Float64Array]:
    """Returns fields of `SetMetrics`, each [B], for metrics [N] and counts [B, N]."""
    means = {name: counts @ values / counts.sum(axis=1) for name, values in measured.items()}
    means["delta_cf_image"] = means.pop("delta_cf")
    for magnitude, of in _MAGNITUDES.items():
        means[magnitude] = np.abs(means[of] - means[f"truth_{of}"])
    means["ab_rmse"] = 255.0 * np.sqrt(means["ab_mse"])
    means["ab_psnr_db_set"] = np.minimum(MAX_PSNR_DB, -10.0 * np.log10(np.maximum(means["ab_mse"], 1e-300)))
    return means


def _sum_hues(images: Sequence[HueCounts]) -> tuple[HueCounts, HueCounts]:
    """Returns the counts of all images together, and of each resample, [B, ...]."""
    blocks = [weighted_sums(images, counts) for counts in resample_counts(len(images))]
    drawn = (np.concatenate([getattr(block, item.name) for block in blocks]) for item in fields(HueCounts))
    return weighted_sums(images, np.ones(len(images))), HueCounts(*drawn)


def _with_hues(
    metrics: SetMetrics[float], drawn: SetMetrics[Float64Array], hues: tuple[HueCounts, HueCounts]
) -> tuple[SetMetrics[float], SetMetrics[Float64Array]]:
    """Adds the metrics of hues. One stays None if no photograph has its hue; resamples without it are NaN."""
    of_all, of_drawn = (_metrics_of_hues(counts) for counts in hues)
    defined = [name for name, value in of_all.items() if not np.isnan(value)]
    metrics = replace(metrics, **{name: float(of_all[name]) for name in defined})
    return metrics, replace(drawn, **{name: of_drawn[name] for name in defined})


def _metrics_of_hues(counts: HueCounts) -> dict[str, Float64Array]:
    """Returns fields of `SetMetrics` for counts [...]."""
    hues = hue_metrics(counts)
    return {
        "hue_kept": hue_kept(counts),
        "green_kept": hues.confusion[..., _GREEN, _GREEN],
        "orange_ratio": hues.share_ratio[..., _ORANGE],
    }


def _features(images: Sequence[ImageScores], scores: Sequence[Score]) -> tuple[Float64Array, Float64Array]:
    """Returns Inception's features [N, D] of the coloured images and of the photographs."""
    coloured = np.stack([score.features for score in scores if score.features is not None])
    truth = np.stack([image.truth_features for image in images if image.truth_features is not None])
    return coloured.astype(np.float64), truth.astype(np.float64)


def _with_distances(
    metrics: SetMetrics[float], drawn: SetMetrics[Float64Array], features: tuple[Float64Array, Float64Array]
) -> tuple[SetMetrics[float], SetMetrics[Float64Array]]:
    images = len(features[0])
    everything = np.ones(images)
    terms = kid_terms(*features)
    drawn_fid = [fid(*features, counts) for block in resample_counts(images, FID_RESAMPLES) for counts in block]
    drawn_kid = [kid(terms, counts) for counts in resample_counts(images)]
    metrics = replace(metrics, fid=fid(*features, everything), kid=float(kid(terms, everything[None])[0]))
    return metrics, replace(drawn, fid=np.array(drawn_fid), kid=np.concatenate(drawn_kid))
