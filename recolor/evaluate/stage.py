"""The stage `evaluate`: colours a split, measures it, and writes tables, pictures and the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from torch import Tensor

from recolor.config import Config, EvaluateConfig
from recolor.dataset import ShardDataset
from recolor.errors import MissingStageError
from recolor.evaluate.controls import Models, kind_of, load_models, spaced_rows, train_mean_ab
from recolor.evaluate.facts import model_facts, outlier_counts, split_counts
from recolor.evaluate.measure import Score, draw, measure, summarise
from recolor.evaluate.pictures import Picture, picture_grid
from recolor.evaluate.report import MetricRow, PictureGroup, Report, render_report, worst_median_best
from recolor.manifest import write_manifest
from recolor.models.device import resolve_device
from recolor.models.files import MODEL_FILE, model_content
from recolor.order import Int64Array
from recolor.parallel import worker_count
from recolor.schemas import METRICS, PER_IMAGE_METRICS, Schema
from recolor.shard_format import index_path
from recolor.stage import Outcome, Part, Record, read_record, record_path, require_record, run_part
from recolor.workspace import Workspace

STAGE = "evaluate"
VERSION = 1

_EXTREMES = 3


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was measured on, by what, and what came of it."""

    dataset: ShardDataset
    models: Models
    scores: Sequence[Score]

    @property
    def delta_e_2000(self) -> list[float]:
        """Of the refined images, by row."""
        return [score.metrics.delta_e_2000 for score in self.scores if score.name == "refined"]


def evaluate(workspace: Workspace, config: Config) -> Outcome:
    """Measures both models against their controls on a split of the shards.

    Writes `data/evaluation/`: `metrics.parquet`, `per_image.parquet`, `pictures.png` and `report.html`. On a CPU the
    same shards and models give the same bytes.

    Raises:
        MissingStageError: The shards or a model have not been made; names the stage to run.
        InputError: The split has no images.
        WeightsError: A model's files are damaged or of another version.
        ConfigError: CUDA was asked for and is not there.
    """
    settings = replace(config.evaluate, device="auto")  # where it is computed is no part of the key
    names = ("metrics.parquet", "per_image.parquet", "pictures.png", "report.html")
    outputs = tuple(workspace.evaluation / name for name in names)
    part = Part(workspace, STAGE, VERSION, settings, _inputs(workspace), outputs)
    return run_part(part, partial(_build, workspace, config))


def _inputs(workspace: Workspace) -> Mapping[str, str]:
    """What the result depends on. The models must be of these shards: or what they trained on might be tested on."""
    shards = require_record(index_path(workspace), "shard").content
    generator = _model_record(workspace, "generator", {"shards": shards})
    refiner = _model_record(workspace, "refiner", {"shards": shards, "generator": model_content(generator)})
    inputs = {"shards": shards, "generator": generator.content, "refiner": refiner.content}
    cleaned = read_record(record_path(workspace.manifest("clean")))  # the outliers stand in the same record
    return inputs if cleaned is None else {**inputs, "outliers": cleaned.content}


def _model_record(workspace: Workspace, name: str, inputs: Mapping[str, str]) -> Record:
    record = require_record(workspace.models / name / MODEL_FILE, f"train {name}")
    for what, content in inputs.items():
        if record.inputs.get(what) != content:
            raise MissingStageError(
                f"{workspace.models / name}: not trained with the present {what}. Run `recolor train {name}` first."
            )
    return record


def _build(workspace: Workspace, config: Config, staging: Path) -> dict[str, int]:
    models = load_models(workspace.models, resolve_device(config.evaluate.device))
    dataset = ShardDataset.open(workspace, config.evaluate.split)
    mean_ab = train_mean_ab(ShardDataset.open(workspace, "train"))
    scores = _measure(dataset, models, mean_ab, config)
    measured = _Measured(dataset, models, scores)
    _write_tables(scores, staging)
    grid = _pictures(measured, spaced_rows(len(measured.delta_e_2000), config.evaluate.pictures))
    picture_grid(grid).save(staging / "pictures.png")
    report = _report(workspace, config.evaluate, measured, grid)
    (staging / "report.html").write_text(render_report(report), encoding="utf-8")
    return {"images": len(measured.delta_e_2000)}


def _measure(dataset: ShardDataset, models: Models, mean_ab: Tensor, config: Config) -> list[Score]:
    rows = np.arange(min(dataset.rows, config.evaluate.max_images), dtype=np.int64)
    return measure(dataset, rows, models, mean_ab, worker_count(config.execution))


def _write_tables(scores: Sequence[Score], staging: Path) -> None:
    images = [
        {"path": score.path, "name": score.name, "kind": kind_of(score.name), **asdict(score.metrics)}
        for score in scores
    ]
    sets = [{"name": name, "kind": kind_of(name), **asdict(metrics)} for name, metrics in summarise(scores)]
    _write(PER_IMAGE_METRICS, images, staging)
    _write(METRICS, sets, staging)


def _write(schema: Schema, rows: Sequence[Mapping[str, object]], staging: Path) -> None:
    path = staging / f"{schema.name.rpartition('/')[2]}.parquet"
    write_manifest(schema, pa.Table.from_pylist(list(rows), schema=schema.arrow), path)


def _pictures(measured: _Measured, rows: Int64Array) -> tuple[Picture, ...]:
    errors = measured.delta_e_2000
    drawn = draw(measured.dataset, rows, measured.models)
    paths = measured.dataset.paths(rows)
    return tuple(Picture(path, errors[row], tiles) for path, row, tiles in zip(paths, rows, drawn, strict=True))


def _report(workspace: Workspace, config: EvaluateConfig, measured: _Measured, grid: tuple[Picture, ...]) -> Report:
    evenly = PictureGroup("Pictures", "Evenly spaced over the images measured; nobody chose them.", grid)
    return Report(
        split=config.split,
        rows=tuple(MetricRow(name, kind_of(name), metrics) for name, metrics in summarise(measured.scores)),
        groups=(evenly, *_extremes(measured)),
        models=(
            model_facts(workspace.models / "generator", "Generator", measured.models.generator),
            model_facts(workspace.models / "refiner", "Refiner", measured.models.refiner),
        ),
        splits=split_counts(workspace),
        outliers=outlier_counts(workspace),
    )


def _extremes(measured: _Measured) -> Iterator[PictureGroup]:
    kinds = ("Worst", "Median", "Best")
    for kind, rows in zip(kinds, worst_median_best(measured.delta_e_2000, _EXTREMES), strict=True):
        explanation = f"The {kind.lower()} images by ΔE2000 of the refined picture, from worse to better."
        yield PictureGroup(kind, explanation, _pictures(measured, np.array(rows, np.int64)))
