"""Renders `report.html`, a self-contained page."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recolor.evaluation.comparison import Comparison, Difference, direction
from recolor.evaluation.hues import NEUTRAL_CHROMA
from recolor.evaluation.loss_curve import HEIGHT_PX, WIDTH_PX, LossCurve
from recolor.evaluation.methods import Kind, Name
from recolor.evaluation.pictures import Picture
from recolor.evaluation.summary import HueSummary, SetMetrics, Summary
from recolor.manifests.schemas import HUES
from recolor.pages.html import data_uri, inline_script, page_environment, printable

_ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}
_TITLES: Mapping[Name, tuple[str, str]] = {
    "grey": ("Grey", "No colour. The baseline of every metric."),
    "mean_ab": ("Mean colour", "Every pixel has the mean colour of {mean_of}."),
    "generator": ("Generator", "The output of the generator alone: colour at a quarter of the size, upsampled."),
    "refined": ("Generator and refiner", "The complete model, which colours photographs."),
    "saturated": ("Saturation × 1.5", "The same model with a and b multiplied by 1.5."),
    "oracle": (
        "True colour, upsampled",
        "The photograph's colour at a quarter of the size, upsampled: the best result of a generator alone.",
    ),
    "oracle_refined": (
        "True colour, refined",
        "The refiner applied to that colour. A better score than the row above shows what the refiner adds.",
    ),
}
_CONTROL_MODEL = "Another model, for comparison."


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """A metric as a column of a table.

    Attributes:
        metric: A field of `SetMetrics`.
        title: Name of the metric.
        unit: Unit or variant; may be empty.
        digits: Number of decimal places.
        factor: Factor applied to displayed values.
        short: Whether the column is shown in the terminal.
    """

    metric: str
    title: str
    unit: str
    digits: int
    factor: float = 1.0
    short: bool = True

    @property
    def heading(self) -> str:
        """The title with an arrow in the better direction."""
        return self.title + _ARROWS[direction(self.metric)]

    def text(self, value: float) -> str:
        """Returns a formatted value, such as `23.46`."""
        return f"{self.factor * value:.{self.digits}f}"

    def change(self, value: float) -> str:
        """Returns a formatted difference with its sign."""
        return f"{self.factor * value:+.{self.digits}f}"


COLUMNS: tuple[MetricColumn, ...] = (
    MetricColumn("psnr_db", "PSNR", "dB", 2),
    MetricColumn("ssim", "SSIM", "sRGB", 3),
    MetricColumn("delta_e_2000", "ΔE2000", "mean", 2),
    MetricColumn("ab_rmse", "ab RMSE", "Lab units", 2, short=False),
    MetricColumn("ab_mse", "ab MSE", "· 10³", 2, factor=1000),
    MetricColumn("ab_psnr_db", "ab PSNR", "dB", 2),
    MetricColumn("colourfulness", "Colourfulness", "M(3)", 1),
    MetricColumn("colourfulness_abs", "Colourfulness", "|·| variant", 1, short=False),
    MetricColumn("delta_cf_set", "ΔCF", "set", 1),
    MetricColumn("delta_cf_image", "ΔCF", "image", 1),
    MetricColumn("lpips", "LPIPS", "AlexNet", 3),
    MetricColumn("fid", "FID", "Inception", 1),
    MetricColumn("kid", "KID", "· 10³", 2, factor=1000),
)
HUE_COLUMNS: tuple[MetricColumn, ...] = (
    MetricColumn("closer_than_grey", "Closer than grey", "% of images", 0, factor=100),
    MetricColumn("hue_kept", "Hue kept", "% of pixels", 0, factor=100),
    MetricColumn("green_kept", "Green kept", "% of green", 0, factor=100),
    MetricColumn("orange_ratio", "Orange", "× true share", 2),
)


@dataclass(frozen=True, slots=True)
class Hue:
    """One hue over the pixels of all images.

    Attributes:
        name: Name of the hue.
        truth_share: Share of the photographs' pixels, 0..1.
        share, share_low, share_high: Share of the coloured images' pixels, and its interval.
        truth_chroma, chroma: Mean chroma of photographs and coloured images over the pixels that truly have this hue;
            None if there are none.
        given: Share of each given hue among these pixels; None if there are none.
    """

    name: str
    truth_share: float
    share: float
    share_low: float
    share_high: float
    truth_chroma: float | None
    chroma: float | None
    given: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One row of the metrics table."""

    title: str
    explanation: str
    summary: Summary

    @property
    def kind(self) -> Kind:
        """`model` or `control`."""
        return self.summary.method.kind

    @property
    def hues(self) -> tuple[Hue, ...]:
        """The hues, in the order of `HUES`."""
        return _hues(self.summary.hues)


def metric_rows(summaries: Sequence[Summary], mean_of: str) -> tuple[MetricRow, ...]:
    """Returns the rows of the table.

    Titles name the model if there are several, or if it is a control.

    Args:
        summaries: Summaries in the order of the rows.
        mean_of: Description of the images that the mean colour was computed from.
    """
    several = len({summary.method.model for summary in summaries if summary.method.kind == "model"}) > 1
    return tuple(_metric_row(summary, mean_of, named=several) for summary in summaries)


def _hues(summary: HueSummary) -> tuple[Hue, ...]:
    metrics = summary.metrics
    return tuple(
        Hue(
            name=name,
            truth_share=float(metrics.truth_share[number]),
            share=float(metrics.share[number]),
            share_low=float(summary.low.share[number]),
            share_high=float(summary.high.share[number]),
            truth_chroma=_or_none(metrics.truth_chroma[number]),
            chroma=_or_none(metrics.chroma[number]),
            given=tuple(map(_or_none, metrics.confusion[number])),
        )
        for number, name in enumerate(HUES)
    )


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _metric_row(summary: Summary, mean_of: str, *, named: bool) -> MetricRow:
    method = summary.method
    title, explanation = _TITLES[method.name]
    if method.kind == "control" and method.name in {"generator", "refined"}:
        return MetricRow(method.model, _CONTROL_MODEL, summary)
    if method.model and (named or method.name == "saturated"):
        title = f"{method.model}: {title[0].lower()}{title[1:]}"
    return MetricRow(title, explanation.format(mean_of=mean_of), summary)


@dataclass(frozen=True, slots=True)
class PictureGroup:
    """Pictures under one heading, with an explanation of how they were selected."""

    title: str
    explanation: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Loss curve, or None, and settings (name, value) of one trained network."""

    title: str
    loss_curve: LossCurve | None
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Count:
    """A named number of images."""

    name: str
    images: int


@dataclass(frozen=True, slots=True)
class OutlierCounts:
    """Outliers of each issue, and all rejected images; an image may have several issues."""

    issues: tuple[Count, ...]
    rejected: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Contents of the report.

    Attributes:
        measured_on: Description of the images, such as `276 photographs of the test split`.
        notes: Sentences about training overlap and photographs that could not be measured.
        rows: Metrics of each method.
        comparisons: Comparisons of the first model with each other model; empty for a single model.
        headings: Headings of the picture columns.
        groups: Groups of pictures.
        models: Facts of generators and refiners.
        splits: Number of images of train, val and test; empty if the images are not from shards.
        outliers: Number of images that the cleaning rejected.
        against: PSNR of the first complete model minus that of `grey` and of `mean_ab`, with intervals.
        provenance: What the report was made with and from, as pairs of a name and a text.
    """

    measured_on: str
    notes: tuple[str, ...]
    rows: tuple[MetricRow, ...]
    comparisons: tuple[Comparison, ...]
    headings: tuple[str, ...]
    groups: tuple[PictureGroup, ...]
    models: tuple[ModelFacts, ...]
    splits: tuple[Count, ...]
    outliers: OutlierCounts
    against: tuple[Difference, Difference]
    provenance: tuple[tuple[str, str], ...]

    def row(self, name: Name) -> SetMetrics[float]:
        """Returns the metrics of the first row with that method name."""
        return next(row.summary.metrics for row in self.rows if row.summary.method.name == name)

    @property
    def summary(self) -> Summary:
        """The metrics of the first complete model, and their intervals."""
        models = [row.summary for row in self.rows if row.kind == "model"]
        return [summary for summary in models if summary.method.model == models[0].method.model][-1]

    @property
    def model(self) -> SetMetrics[float]:
        """The metrics of the first complete model."""
        return self.summary.metrics

    @property
    def columns(self) -> tuple[MetricColumn, ...]:
        """The columns of the table: all metrics that were measured."""
        return self._measured(COLUMNS)

    @property
    def hue_columns(self) -> tuple[MetricColumn, ...]:
        """The columns of the table of hues: ΔCF first, as it cannot see hues."""
        return self._measured((*(column for column in COLUMNS if column.metric == "delta_cf_set"), *HUE_COLUMNS))

    def column(self, metric: str) -> MetricColumn | None:
        """Returns the column of a metric; None if it was not measured."""
        columns = (*self.columns, *self.hue_columns)
        return next((column for column in columns if column.metric == metric), None)

    def _measured(self, columns: Sequence[MetricColumn]) -> tuple[MetricColumn, ...]:
        return tuple(column for column in columns if getattr(self.model, column.metric) is not None)


def render_report(report: Report) -> str:
    """Returns the report as self-contained HTML; all text is escaped."""
    environment = page_environment()
    environment.filters.update(jpeg=_jpeg_uri, printable=printable)
    return environment.get_template("report.html").render(
        report=report,
        neutral_chroma=NEUTRAL_CHROMA,
        verdict=verdict(report),
        script=inline_script("report.js"),
        curve_px={"width": WIDTH_PX, "height": HEIGHT_PX},
    )


def verdict(report: Report) -> str:
    """Returns sentences on the model's PSNR against the baselines, its colourfulness, and images better left grey.

    Each figure has its 95% interval, and a difference whose interval contains 0 is not called one.
    """
    model, low, high = report.summary.metrics, report.summary.low, report.summary.high
    truth = max(model.truth_colourfulness, 1e-9)
    share = _with_interval(*(100 * end.colourfulness / truth for end in (model, low, high)))
    closer = _with_interval(*(100 * end.closer_than_grey for end in (model, low, high)))
    grey, mean = (_than(*each) for each in zip(report.against, ("grey images", "the mean colour"), strict=True))
    return (
        f"The model's PSNR is {grey}, and {mean}. Its images have {share} of the photographs' colourfulness."
        f" {closer} of them are closer to the photographs than images without colour."
        " Ranges in parentheses are 95% intervals."
    )


def photographs(count: int) -> str:
    """Returns the count with its noun, such as `276 photographs`."""
    return f"{count:,} photograph{'s' if count != 1 else ''}"


def worst_median_best(pictures_delta_e: Sequence[float], count: int) -> tuple[list[int], list[int], list[int]]:
    """Returns positions of the `count` largest, middle and smallest values.

    Each group is ordered from worst to best. Equal values are ordered by position.
    """
    order = [int(i) for i in np.argsort(-np.asarray(pictures_delta_e, np.float64), kind="stable")]
    count = min(count, len(order))
    middle = (len(order) - count) // 2
    return order[:count], order[middle : middle + count], order[len(order) - count :]


def _than(difference: Difference, baseline: str) -> str:
    """Returns how a PSNR differs from that of a baseline, if it does."""
    low, high = difference.low, difference.high
    if low <= 0 <= high:
        return f"not distinguishable from that of {baseline} ({low:+.1f} to {high:+.1f} dB)"
    low, high = sorted((abs(low), abs(high)))
    side = "above" if difference.difference > 0 else "below"
    return f"{abs(difference.difference):.1f} dB ({low:.1f} to {high:.1f}) {side} that of {baseline}"


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:.0f}% ({low:.0f} to {high:.0f})"


def _jpeg_uri(rgb: NDArray[np.uint8]) -> str:
    """Returns a tile as a JPEG data URI, with chroma at full resolution (4:4:4)."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=90, subsampling=0)
    return data_uri("image/jpeg", buffer.getvalue())
