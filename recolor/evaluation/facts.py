"""What the report says about the data and the models, from what earlier stages left."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recolor.config.settings import SPLITS, Split
from recolor.evaluation.methods import Model
from recolor.evaluation.report import Count, ModelFacts, OutlierCounts
from recolor.manifests.io import read_table
from recolor.manifests.schemas import OUTLIERS
from recolor.models.files import LoadedGenerator, LoadedRefiner
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import read_index

CURVE_FILE = "loss_curve.png"


def split_counts(workspace: Workspace) -> tuple[Count, ...]:
    """Images of each split in the shards."""
    splits = read_index(workspace)["split"].to_pylist()
    return tuple(Count(split, splits.count(split)) for split in SPLITS)


def outlier_counts(workspace: Workspace) -> OutlierCounts:
    """Outliers of each issue, most first; none where the shards were not made from images cleaned here."""
    path = workspace.manifest("outliers")
    if not path.is_file():
        return OutlierCounts((), 0)
    issues = read_table(OUTLIERS, path, ["issues"])["issues"].to_pylist()
    counted = Counter(issue for of_image in issues for issue in of_image)
    most_first = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return OutlierCounts(tuple(Count(issue, images) for issue, images in most_first), len(issues))


def model_facts(models: Sequence[Model]) -> tuple[ModelFacts, ...]:
    """The settings and the loss curves of trained models; named where there are several."""
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
    """Sentences about a split of shards.

    Args:
        models: Each says in its `config.json` which shards it was trained on.
        shards: Fingerprint of the shards measured on.
        split: Of these shards.
    """
    return tuple(_of_model(model, shards, split) for model in models)


def train_overlap_in_folder(models: Sequence[Model]) -> tuple[str, ...]:
    """Sentences about photographs from elsewhere."""
    return tuple(f"Recolor cannot know whether {model.label} was trained on these photographs." for model in models)


def _part_facts(folder: Path, title: str, part: LoadedGenerator | LoadedRefiner) -> ModelFacts:
    parameters = sum(tensor.numel() for tensor in part.model.parameters())
    curve = folder / CURVE_FILE
    settings = (("parameters", f"{parameters:,}"), *_settings(part.details))
    return ModelFacts(title, curve.read_bytes() if curve.is_file() else None, settings)


def _settings(details: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    """Every single value of nested settings by its dotted name, without lists (the bins)."""
    for key, value in details.items():
        name = at + key
        if isinstance(value, Mapping):
            yield from _settings(value, name + ".")
        elif not isinstance(value, list):
            yield name, _shortened(str(value))


def _shortened(value: str) -> str:
    """Hashes by their first 12 digits."""
    return f"{value[:12]}…" if len(value) == 64 else value


def _of_model(model: Model, shards: str, split: Split) -> str:
    if set(model.trained_on) != {shards}:
        return (
            f"Recolor cannot know whether {model.label} was trained on these images: it comes from other shards, does"
            " not say from which, or started from another model's weights."
        )
    if split == "train":
        return f"The model {model.label} was trained on these images: its figures say nothing about others."
    return f"The model {model.label} was trained on the train split of these shards, on none of the images measured."
