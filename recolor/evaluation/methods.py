"""Methods to be measured: trained models, and controls to compare them with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from recolor.colorize.look import Look
from recolor.errors import ConfigError
from recolor.models.files import LoadedGenerator, LoadedRefiner, load_generator, load_refiner
from recolor.models.folders import check_generator, has_model
from recolor.models.pretrained import models_folder
from recolor.paths import expand_user

Name = Literal["grey", "mean_ab", "generator", "refined", "saturated", "oracle", "oracle_refined"]
Kind = Literal["model", "control"]
NAMES: tuple[Name, ...] = get_args(Name)

SATURATED = 1.5  # factor of a and b in the method `saturated`
_SHIPPED = "pretrained"


@dataclass(frozen=True, slots=True)
class Method:
    """A method of colouring an image.

    Attributes:
        model: Label of the model; empty if the method uses none.
        name: Name of the method; see `split.colour`.
        kind: `model` if the method is evaluated, `control` if it serves for comparison.
    """

    model: str
    name: Name
    kind: Kind


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded generator with its optional refiner.

    Attributes:
        label: Name in tables.
        kind: `control` if the model serves for comparison only.
        folder: Folder it was loaded from.
        generator: Predicts low-resolution colour.
        refiner: None if the generator is measured without a refiner.
        device: Device of both networks.
        look: How its colours are read.
    """

    label: str
    kind: Kind
    folder: Path
    generator: LoadedGenerator
    refiner: LoadedRefiner | None
    device: torch.device
    look: Look

    @property
    def whole(self) -> Method:
        """The method of the complete model: with its refiner if it has one."""
        return Method(self.label, "refined" if self.refiner else "generator", self.kind)

    @property
    def trained_on(self) -> tuple[str | None, ...]:
        """Fingerprints of the shards that the generator and the refiner were trained on.

        None for a part whose files do not name its shards, or whose training started from another model's weights:
        the training images of that model are unknown.
        """
        details = [self.generator.details] + ([self.refiner.details] if self.refiner else [])
        return tuple(map(_shards_of, details))


def load_models(
    models: Sequence[Path], controls: Sequence[Path], device: torch.device, look: Look | None = None
) -> tuple[Model, ...]:
    """Loads the models to measure and the models that serve as controls.

    Args:
        models: Folders with `generator/` and `refiner/`, or with `generator/` alone.
        controls: Folders of the same form.
        device: Device to load them on.
        look: Look of the models; controls, and None, have their own colours.

    Raises:
        ConfigError: A folder is given twice.
        MissingStageError: A folder has no generator.
        WeightsError: A file is damaged, or its format is unknown to this version.
    """
    folders = [expand_user(folder).absolute() for folder in (*models, *controls)]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice}: this model is given twice. Give each model and each --control once.")
    return tuple(
        _load_model(folder, label, "model" if number < len(models) else "control", device, look or Look())
        for number, (folder, label) in enumerate(zip(folders, labels_of(folders), strict=True))
    )


def labels_of(folders: Sequence[Path]) -> list[str]:
    """Returns the shortest unique path endings; the package's model is `pretrained`."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        labels = [_SHIPPED if folder == models_folder() else "/".join(folder.parts[-length:]) for folder in folders]
        if len(set(labels)) == len(labels):
            return labels
    return [str(folder) for folder in folders]


def _load_model(folder: Path, label: str, kind: Kind, device: torch.device, look: Look) -> Model:
    check_generator(folder)
    generator = load_generator(folder / "generator", device)
    refiner = load_refiner(folder / "refiner", device) if has_model(folder, "refiner") else None
    return Model(label, kind, folder, generator, refiner, device, look if kind == "model" else Look())


def _shards_of(details: Mapping[str, Any]) -> str | None:
    """Returns `training.inputs.shards`; None if it is not a string or `start_from` is set."""
    inputs: Any = details
    for key in ("training", "inputs"):
        inputs = inputs.get(key) if isinstance(inputs, Mapping) else None
    if not isinstance(inputs, Mapping) or "start_from" in inputs:
        return None
    shards = inputs.get("shards")
    return shards if isinstance(shards, str) else None
