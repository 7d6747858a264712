"""Writes the outputs of an evaluation: Parquet tables, pictures and the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from recolor.dataset.sampler import Int64Array
from recolor.evaluation.comparison import Comparison, Difference, compare, difference
from recolor.evaluation.facts import model_facts
from recolor.evaluation.hues import HueCounts, HueMetrics, hue_metrics
from recolor.evaluation.measure import ImageScores, Source, draw
from recolor.evaluation.methods import Method, Model
from recolor.evaluation.pictures import Picture, picture_grid
from recolor.evaluation.report import (
    Count,
    OutlierCounts,
    PictureGroup,
    Report,
    metric_rows,
    render_report,
    worst_median_best,
)
from recolor.evaluation.split import spaced_rows
from recolor.evaluation.summary import METRICS, Resampled, Summary, resample, summarise
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import COMPARISON, HUE_METRICS, HUES, PER_IMAGE_METRICS, Schema
from recolor.manifests.schemas import METRICS as METRICS_SCHEMA
from recolor.version import __version__

COMPARISON_FILE = "comparison.parquet"  # written if there are at least two models

_EXTREMES = 3


@dataclass(frozen=True, kw_only=True)  # no slots: cached properties need a __dict__
class Evaluation:
    """Models, images and scores of an evaluation.

    Attributes:
        source: Measured images.
        models: Measured models, and models that serve as controls.
        images: Scores of each image.
        measured_on: Description of the images, such as `276 photographs of the test split`.
        notes: Sentences shown above the results.
        mean_of: Description of the images that the mean colour was computed from.
        splits: Number of images of each split; empty if the images are not from shards.
        outliers: Number of images that the cleaning rejected.
        data_set: Description of where the images are from, such as `photos, shards 3f9a12c45b6d`.
        key: Fingerprint of the images, the models and the settings.
    """

    source: Source
    models: tuple[Model, ...]
    images: Sequence[ImageScores]
    measured_on: str
    notes: tuple[str, ...]
    mean_of: str
    splits: tuple[Count, ...] = ()
    outliers: OutlierCounts = field(default_factory=lambda: OutlierCounts((), 0))
    data_set: str = ""
    key: str = ""

    @cached_property
    def resampled(self) -> list[Resampled]:
        """Metrics of every method over all images and over each resample."""
        return resample(self.images)

    @cached_property
    def summaries(self) -> list[Summary]:
        """Metrics of every method with their confidence intervals."""
        return [summarise(resampled) for resampled in self.resampled]

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The first complete model compared with each of the others."""
        of_method = {resampled.method: resampled for resampled in self.resampled}
        first, *others = [of_method[model.whole] for model in self.models if model.kind == "model"]
        return tuple(compare(first, other) for other in others)

    @property
    def against(self) -> tuple[Difference, Difference]:
        """PSNR of the first complete model minus that of `grey` and of `mean_ab`, on the same images."""
        of_method = {resampled.method: resampled for resampled in self.resampled}
        of_name = {method.name: resampled for method, resampled in of_method.items() if not method.model}
        first = of_method[next(model.whole for model in self.models if model.kind == "model")]
        return difference("psnr_db", of_name["grey"], first), difference("psnr_db", of_name["mean_ab"], first)

    @property
    def delta_e_2000(self) -> list[float]:
        """ΔE2000 of each image of the first model; selects the worst, median and best pictures."""
        number = [score.method for score in self.images[0].scores].index(self.models[0].whole)
        return [image.scores[number].metrics.delta_e_2000 for image in self.images]


def write_evaluation(evaluation: Evaluation, folder: Path, pictures: int) -> None:
    """Writes the files into an existing folder.

    Args:
        evaluation: Evaluation to write.
        folder: Output folder of `part.FILES` and, if there are at least two models, of `COMPARISON_FILE`.
        pictures: Number of rows of the picture grid.
    """
    _write(PER_IMAGE_METRICS, _image_rows(evaluation.images), folder)
    _write(METRICS_SCHEMA, [_metrics_row(summary) for summary in evaluation.summaries], folder)
    _write(HUE_METRICS, _hue_rows(evaluation.resampled, evaluation.summaries), folder)
    if evaluation.comparisons:
        _write(COMPARISON, _comparison_rows(evaluation.comparisons), folder)
    headings = _headings(evaluation.models)
    grid = _pictures(evaluation, spaced_rows(len(evaluation.images), pictures))
    picture_grid(grid, headings).save(folder / "pictures.png")
    (folder / "report.html").write_text(render_report(_report(evaluation, grid, headings)), encoding="utf-8")


def _image_rows(images: Sequence[ImageScores]) -> list[Mapping[str, object]]:
    return [
        {
            "path": image.path,
            **asdict(score.method),
            **asdict(score.metrics),
            "closer_than_grey": image.closer_than_grey(number),
            **_hues_of_image(score.hues),
        }
        for image in images
        for number, score in enumerate(image.scores)
    ]


def _hues_of_image(counts: HueCounts) -> Mapping[str, object]:
    hues = hue_metrics(counts)
    row: dict[str, object] = {}
    for number, true in enumerate(HUES):
        row |= {f"pixels_{true}_as_{given}": int(n) for given, n in zip(HUES, counts.pixels[number], strict=True)}
        row[f"truth_chroma_{true}"] = _or_none(hues.truth_chroma[number])
        row[f"chroma_{true}"] = _or_none(hues.chroma[number])
    return row


def _hue_rows(resampled: Sequence[Resampled], summaries: Sequence[Summary]) -> list[Mapping[str, object]]:
    return [
        {
            **asdict(summary.method),
            "hue": hue,
            "truth_pixels": int(of_all.hues.pixels[number].sum()),
            "truth_share": float(summary.hues.metrics.truth_share[number]),
            "truth_chroma": _or_none(summary.hues.metrics.truth_chroma[number]),
            **_hue_values(summary.hues.metrics, number),
            **_hue_values(summary.hues.low, number, "_low"),
            **_hue_values(summary.hues.high, number, "_high"),
        }
        for of_all, summary in zip(resampled, summaries, strict=True)
        for number, hue in enumerate(HUES)
    ]


def _hue_values(hues: HueMetrics, number: int, end: str = "") -> Mapping[str, float | None]:
    """Returns the columns of a hue that have an interval, or one of its ends."""
    values = {name: getattr(hues, name)[number] for name in ("share", "share_ratio", "chroma")}
    values |= {f"as_{given}": hues.confusion[number, column] for column, given in enumerate(HUES)}
    return {name + end: _or_none(value) for name, value in values.items()}


def _or_none(value: float) -> float | None:
    """Returns None for NaN, which is null in a table."""
    return None if np.isnan(value) else float(value)


def _metrics_row(summary: Summary) -> Mapping[str, object]:
    ends = {
        f"{metric}_{end}": getattr(metrics, metric)
        for metric in METRICS
        for end, metrics in (("low", summary.low), ("high", summary.high))
    }
    return {**asdict(summary.method), "images": summary.images, **asdict(summary.metrics), **ends}


def _comparison_rows(comparisons: Sequence[Comparison]) -> list[Mapping[str, object]]:
    return [
        {
            "first": comparison.first.model,
            "second": comparison.second.model,
            "metric": item.metric,
            "first_value": item.first,
            "second_value": item.second,
            "difference": item.difference,
            "difference_low": item.low,
            "difference_high": item.high,
            "better": item.better,
        }
        for comparison in comparisons
        for item in comparison.differences
    ]


def _write(schema: Schema, rows: Sequence[Mapping[str, object]], folder: Path) -> None:
    path = folder / f"{schema.name.rpartition('/')[2]}.parquet"
    write_manifest(schema, pa.Table.from_pylist(list(rows), schema=schema.arrow), path)


def _shown(models: Sequence[Model]) -> tuple[Method, ...]:
    """Returns the methods in pictures: both parts of a single model, or complete models."""
    measured = [model for model in models if model.kind == "model"]
    if len(measured) == 1 and measured[0].refiner:
        return Method(measured[0].label, "generator", "model"), measured[0].whole
    return tuple(model.whole for model in measured)


def _headings(models: Sequence[Model]) -> tuple[str, ...]:
    shown = _shown(models)
    one = len({method.model for method in shown}) == 1
    return "Greyscale", *(method.name.capitalize() if one else method.model for method in shown), "Photograph"


def _pictures(evaluation: Evaluation, rows: Int64Array) -> tuple[Picture, ...]:
    errors, paths = evaluation.delta_e_2000, evaluation.source.paths
    drawn = draw(evaluation.source, rows, _shown(evaluation.models))
    return tuple(Picture(paths[row], errors[row], tiles) for row, tiles in zip(rows, drawn, strict=True))


def _report(evaluation: Evaluation, grid: tuple[Picture, ...], headings: tuple[str, ...]) -> Report:
    evenly = PictureGroup("Pictures", "Evenly spaced over the measured images, not selected by hand.", grid)
    return Report(
        measured_on=evaluation.measured_on,
        notes=evaluation.notes,
        rows=metric_rows(evaluation.summaries, evaluation.mean_of),
        comparisons=evaluation.comparisons,
        headings=headings,
        groups=(evenly, *_extremes(evaluation)),
        models=model_facts(evaluation.models),
        splits=evaluation.splits,
        outliers=evaluation.outliers,
        against=evaluation.against,
        provenance=_provenance(evaluation),
    )


def _provenance(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    """Returns version, data set, date (UTC) and the start of the key."""
    return (
        ("Recolor", __version__),
        ("Data set", evaluation.data_set),
        ("Date", datetime.now(UTC).date().isoformat()),
        ("Key", evaluation.key[:16]),
    )


def _extremes(evaluation: Evaluation) -> Iterator[PictureGroup]:
    measured = [model for model in evaluation.models if model.kind == "model"]
    by = f"ΔE2000 of {measured[0].label}" if len(measured) > 1 else "the model's ΔE2000"
    kinds = ("Worst", "Median", "Best")
    for kind, rows in zip(kinds, worst_median_best(evaluation.delta_e_2000, _EXTREMES), strict=True):
        explanation = f"The {kind.lower()} images by {by}, from worse to better."
        yield PictureGroup(kind, explanation, _pictures(evaluation, np.array(rows, np.int64)))
