"""`report.html`: one file with everything in it, to be opened in a browser or sent to someone."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recolor.evaluation.comparison import Comparison, direction
from recolor.evaluation.methods import Kind, Name
from recolor.evaluation.pictures import Picture
from recolor.evaluation.summary import SetMetrics, Summary
from recolor.pages.html import data_uri, inline_script, page_environment, printable

_ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}
_TITLES: Mapping[Name, tuple[str, str]] = {
    "grey": ("Grey", "No colour at all. Its PSNR is what doing nothing is worth."),
    "mean_ab": ("Mean colour", "Every pixel gets the mean colour of {mean_of}: one tint, no picture."),
    "generator": ("Generator", "Colour at a quarter of the size, upsampled. What the first model does alone."),
    "refined": ("Generator and refiner", "The whole model: what colorizing gives."),
    "saturated": ("Saturation × 1.5", "The same with stronger colours, as greyish ones are made to look better."),
    "oracle": (
        "True colour, upsampled",
        "The photograph's own colour at a quarter of the size: no generator can do better alone.",
    ),
    "oracle_refined": (
        "True colour, refined",
        "The refiner on that colour. Where it beats the row above, it earns its place.",
    ),
}
_CONTROL_MODEL = "Another model, to compare with."


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """A metric as a column of a table.

    Attributes:
        metric: A field of `SetMetrics`.
        title: What people call it.
        unit: Or what sort of it; may be empty.
        digits: Behind the point.
        factor: It is shown so many times larger.
        short: Whether it belongs in a table of a terminal's width.
    """

    metric: str
    title: str
    unit: str
    digits: int
    factor: float = 1.0
    short: bool = True

    @property
    def heading(self) -> str:
        """The title, with an arrow that shows which direction is better."""
        return self.title + _ARROWS[direction(self.metric)]

    def text(self, value: float) -> str:
        """The value in its unit, such as `23.46`."""
        return f"{self.factor * value:.{self.digits}f}"

    def change(self, value: float) -> str:
        """A difference, with its sign."""
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


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One row of the metrics table: what a reader calls it, what its numbers mean, and its numbers."""

    title: str
    explanation: str
    summary: Summary

    @property
    def kind(self) -> Kind:
        """`model` or `control`."""
        return self.summary.method.kind


def metric_rows(summaries: Sequence[Summary], mean_of: str) -> tuple[MetricRow, ...]:
    """The rows of the table; a model is named where there are several, and where it is but a control.

    Args:
        summaries: In the order of the rows.
        mean_of: What the mean colour is the mean of.
    """
    several = len({summary.method.model for summary in summaries if summary.method.kind == "model"}) > 1
    return tuple(_metric_row(summary, mean_of, named=several) for summary in summaries)


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
    """Some pictures under one heading, with a sentence about how they were chosen."""

    title: str
    explanation: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One trained model: its loss curve (PNG bytes), where it is there, and its settings as (name, value)."""

    title: str
    loss_curve: bytes | None
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Count:
    """A named number of images."""

    name: str
    images: int


@dataclass(frozen=True, slots=True)
class OutlierCounts:
    """Outliers of each issue, and images rejected in all: one may have several issues."""

    issues: tuple[Count, ...]
    rejected: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that the report shows.

    Attributes:
        measured_on: What was measured on, such as `276 photographs of the test split`.
        notes: Sentences about it: what the models may have seen, which photographs were left out.
        rows: The metrics, a row for each method.
        comparisons: The first model with each other one; none where there is one model.
        headings: Above the pictures' columns.
        groups: Pictures.
        models: Generators and refiners.
        splits: Images of train, val and test; none where it was not measured on shards.
        outliers: What the cleaning rejected.
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

    def row(self, name: Name) -> SetMetrics[float]:
        """The metrics of the first row of that name."""
        return next(row.summary.metrics for row in self.rows if row.summary.method.name == name)

    @property
    def model(self) -> SetMetrics[float]:
        """The metrics of the first model as a whole."""
        first = next(row.summary.method.model for row in self.rows if row.kind == "model")
        return [row.summary.metrics for row in self.rows if row.kind == "model" and row.summary.method.model == first][
            -1
        ]

    @property
    def columns(self) -> tuple[MetricColumn, ...]:
        """The table's columns: the metrics that were measured."""
        return tuple(column for column in COLUMNS if getattr(self.model, column.metric) is not None)

    def column(self, metric: str) -> MetricColumn | None:
        """How a metric is shown, if it is."""
        return next((column for column in self.columns if column.metric == metric), None)


def render_report(report: Report) -> str:
    """The report as HTML that loads nothing from anywhere; whatever came from file names is escaped."""
    environment = page_environment()
    environment.filters.update(jpeg=_jpeg_uri, png=_png_uri, printable=printable)
    return environment.get_template("report.html").render(
        report=report, verdict=verdict(report), script=inline_script("report.js")
    )


def verdict(report: Report) -> str:
    """What the table says about the whole model, in two sentences: against doing nothing, and in colourfulness."""
    model, grey, mean = report.model, report.row("grey"), report.row("mean_ab")
    share = model.colourfulness / max(model.truth_colourfulness, 1e-9)
    return (
        f"The model is {_than(model.psnr_db - grey.psnr_db)} grey and"
        f" {_than(model.psnr_db - mean.psnr_db)} one mean tint in PSNR."
        f" Its pictures have {share:.0%} of the photographs' colourfulness."
    )


def photographs(count: int) -> str:
    """So many of them, in words."""
    return f"{count:,} photograph{'s' if count != 1 else ''}"


def worst_median_best(pictures_delta_e: Sequence[float], count: int) -> tuple[list[int], list[int], list[int]]:
    """Positions of the `count` largest, middle and smallest values, each from worst to best; ties by position."""
    order = [int(i) for i in np.argsort(-np.asarray(pictures_delta_e, np.float64), kind="stable")]
    count = min(count, len(order))
    middle = (len(order) - count) // 2
    return order[:count], order[middle : middle + count], order[len(order) - count :]


def _than(difference_db: float) -> str:
    return f"{abs(difference_db):.1f} dB {'above' if difference_db >= 0 else 'below'}"


def _jpeg_uri(rgb: NDArray[np.uint8]) -> str:
    """A tile as a data URI; 4:4:4, because colour is what is to be seen."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=90, subsampling=0)
    return data_uri("image/jpeg", buffer.getvalue())


def _png_uri(data: bytes) -> str:
    return data_uri("image/png", data)
