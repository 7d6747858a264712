"""`report.html`: one file with everything in it, to be opened in a browser or sent to someone."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recolor.evaluate.controls import Kind, Name
from recolor.evaluate.metrics import SetMetrics
from recolor.evaluate.pictures import HEADINGS, Picture
from recolor.pages import data_uri, page_environment, printable

TITLES: Mapping[Name, tuple[str, str]] = {
    "grey": ("Grey", "No colour at all. Its PSNR is what doing nothing is worth."),
    "mean_ab": ("Mean colour", "Every pixel gets the mean colour of the training photographs: one tint, no picture."),
    "generator": ("Generator", "Colour at a quarter of the size, upsampled. What the first model does alone."),
    "refined": ("Generator and refiner", "The whole model: what colorizing gives."),
    "oracle": (
        "True colour, upsampled",
        "The photograph's own colour at a quarter of the size: no generator can do better alone.",
    ),
    "oracle_refined": (
        "True colour, refined",
        "The refiner on that colour. Where it beats the row above, it earns its place.",
    ),
}


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One row of the metrics table."""

    name: Name
    kind: Kind
    metrics: SetMetrics

    @property
    def title(self) -> str:
        """What a reader calls it."""
        return TITLES[self.name][0]

    @property
    def explanation(self) -> str:
        """What its numbers mean, in a sentence."""
        return TITLES[self.name][1]


@dataclass(frozen=True, slots=True)
class PictureGroup:
    """Some pictures under one heading, with a sentence about how they were chosen."""

    title: str
    explanation: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One trained model: its loss curve (PNG bytes) and its settings as (name, value)."""

    title: str
    loss_curve: bytes
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
        split: The split measured on.
        rows: The metrics, a row for each of `controls.NAMES`.
        groups: Pictures.
        models: Generator and refiner.
        splits: Images of train, val and test.
        outliers: What the cleaning rejected.
    """

    split: str
    rows: tuple[MetricRow, ...]
    groups: tuple[PictureGroup, ...]
    models: tuple[ModelFacts, ...]
    splits: tuple[Count, ...]
    outliers: OutlierCounts

    def row(self, name: Name) -> SetMetrics:
        """The metrics of one model or control."""
        return next(row.metrics for row in self.rows if row.name == name)


def render_report(report: Report) -> str:
    """The report as HTML that loads nothing from anywhere; whatever came from file names is escaped."""
    environment = page_environment()
    environment.filters.update(jpeg=_jpeg_uri, png=_png_uri, printable=printable)
    return environment.get_template("report.html").render(report=report, headings=HEADINGS, verdict=verdict(report))


def verdict(report: Report) -> str:
    """What the table says about the whole model, in two sentences: against doing nothing, and in colourfulness."""
    refined, grey, mean = report.row("refined"), report.row("grey"), report.row("mean_ab")
    share = refined.colourfulness / max(refined.truth_colourfulness, 1e-9)
    return (
        f"The model is {_than(refined.psnr_db - grey.psnr_db)} grey and"
        f" {_than(refined.psnr_db - mean.psnr_db)} one mean tint in PSNR."
        f" Its pictures have {share:.0%} of the photographs' colourfulness."
    )


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
