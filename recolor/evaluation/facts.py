"""Facts about data and models for the report, read from the outputs of earlier stages."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recolor.config.settings import SPLITS, Split
from recolor.evaluation.loss_curve import read_loss_curve
from recolor.evaluation.methods import Model
from recolor.evaluation.report import Count, ModelFacts, OutlierCounts
from recolor.manifests.io import read_table
from recolor.manifests.schemas import OUTLIERS
from recolor.models.files import LoadedGenerator, LoadedRefiner
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import read_index

METRICS_FILE = "metrics.parquet"


def split_counts(workspace: Workspace) -> tuple[Count, ...]:
    """Returns the number of images of each split in the shards."""
    splits = read_index(workspace)["split"].to_pylist()
    return tuple(Count(split, splits.count(split)) for split in SPLITS)


def outlier_counts(workspace: Workspace) -> OutlierCounts:
    """Returns the outliers of each issue, most frequent first; empty without a manifest."""
    path = workspace.manifest("outliers")
    if not path.is_file():
        return OutlierCounts((), 0)
    issues = read_table(OUTLIERS, path, ["issues"])["issues"].to_pylist()
    counted = Counter(issue for of_image in issues for issue in of_image)
    most_first = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return OutlierCounts(tuple(Count(issue, images) for issue, images in most_first), len(issues))


def model_facts(models: Sequence[Model]) -> tuple[ModelFacts, ...]:
    """Returns settings and loss curves of models; titles include the label of each of several."""
    parts = [
        (model, title, part)
        for model in models
        for title, part in (("generator", model.generator), ("refiner", model.refiner))
        if part is not None
    ]
    return tuple(
        _part_facts(model.folder / name, f"{model.label}: {name}" if len(models) > 1 else name.capitalize(), part)
        for model, name, part in parts
    )


def train_overlap_in_split(models: Sequence[Model], shards: str, split: Split) -> tuple[str, ...]:
    """Returns a sentence for each model: whether it was trained on the measured images.

    Args:
        models: Models; the `config.json` of each names the shards it was trained on.
        shards: Fingerprint of the measured shards.
        split: Measured split of these shards.
    """
    return tuple(_split_overlap(model, _reference(model, models), shards, split) for model in models)


def train_overlap_in_folder(models: Sequence[Model]) -> tuple[str, ...]:
    """Returns a sentence for each model measured on photographs that are not from shards."""
    return tuple(
        f"Recolor cannot know whether {_reference(model, models)} was trained on these photographs." for model in models
    )


def _part_facts(folder: Path, title: str, part: LoadedGenerator | LoadedRefiner) -> ModelFacts:
    parameters = sum(tensor.numel() for tensor in part.model.parameters())
    settings = (("parameters", f"{parameters:,}"), *_settings(part.details))
    return ModelFacts(title, read_loss_curve(folder / METRICS_FILE), settings)


def _settings(details: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    """Yields values of nested settings with dotted names; skips lists (the ab bins)."""
    for key, value in details.items():
        name = at + key
        if isinstance(value, Mapping):
            yield from _settings(value, name + ".")
        elif not isinstance(value, list):
            yield name, _shortened(str(value))


def _shortened(value: str) -> str:
    """Shortens SHA-256 hashes to 12 digits."""
    return f"{value[:12]}…" if len(value) == 64 else value


def _reference(model: Model, models: Sequence[Model]) -> str:
    """Returns how a sentence refers to a model: by its label if there are several."""
    return "this model" if len(models) == 1 else f"the model '{model.label}'"


def _split_overlap(model: Model, reference: str, shards: str, split: Split) -> str:
    if set(model.trained_on) != {shards}:
        return (
            f"Recolor cannot know whether {reference} was trained on these images: it was trained on other shards, its"
            " files do not name the shards, or its training started from another model's weights."
        )
    subject = f"T{reference[1:]}"
    if split == "train":
        return f"{subject} was trained on these images. Its metrics do not apply to other images."
    return (
        f"{subject} was trained on the train split of these shards. It was not trained on any of the measured images."
    )
