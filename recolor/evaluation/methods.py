"""What is measured: models, and the controls without which their numbers mean nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from recolor.errors import ConfigError, MissingStageError
from recolor.models.files import CONFIG_FILE, LoadedGenerator, LoadedRefiner, load_generator, load_refiner
from recolor.models.pretrained import models_folder

Name = Literal["grey", "mean_ab", "generator", "refined", "saturated", "oracle", "oracle_refined"]
Kind = Literal["model", "control"]
NAMES: tuple[Name, ...] = get_args(Name)

SATURATED = 1.5  # what `saturated` multiplies a and b by
_SHIPPED = "pretrained"


@dataclass(frozen=True, slots=True)
class Method:
    """One method of colouring an image.

    Attributes:
        model: Label of the model that does it; empty where none does.
        name: What is done: see `split.colour`.
        kind: Whether it is measured for its own sake, or to compare with.
    """

    model: str
    name: Name
    kind: Kind


@dataclass(frozen=True, slots=True)
class Model:
    """A trained generator and, where there is one, its refiner, ready to colour.

    Attributes:
        label: What tables call it.
        kind: `control` if it is only there to compare with.
        folder: Where it was loaded from.
        generator: Predicts low-resolution colour.
        refiner: None where the generator is measured alone.
        device: Where both are.
    """

    label: str
    kind: Kind
    folder: Path
    generator: LoadedGenerator
    refiner: LoadedRefiner | None
    device: torch.device

    @property
    def whole(self) -> Method:
        """The model with all it has: what is compared with another model."""
        return Method(self.label, "refined" if self.refiner else "generator", self.kind)

    @property
    def trained_on(self) -> tuple[str | None, ...]:
        """Fingerprints of the shards that its parts were trained on.

        None for a part that does not say, or that started from another model's weights: those may have seen anything.
        """
        details = [self.generator.details] + ([self.refiner.details] if self.refiner else [])
        return tuple(map(_shards_of, details))


def load_models(models: Sequence[Path], controls: Sequence[Path], device: torch.device) -> tuple[Model, ...]:
    """Loads models to be measured, and others to be measured as their controls.

    Args:
        models: Folders with `generator/` and `refiner/`, or with `generator/` alone.
        controls: Likewise.
        device: Where they go.

    Raises:
        ConfigError: A folder is given twice.
        MissingStageError: A folder has no generator.
        WeightsError: A file is damaged, or of a format unknown to this version.
    """
    folders = [folder.expanduser().absolute() for folder in (*models, *controls)]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice}: this model is given twice. Give each --model and --control once.")
    return tuple(
        _load_model(folder, label, "model" if number < len(models) else "control", device)
        for number, (folder, label) in enumerate(zip(folders, labels_of(folders), strict=True))
    )


def labels_of(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart; the shipped model's is `pretrained`."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        labels = [_SHIPPED if folder == models_folder() else "/".join(folder.parts[-length:]) for folder in folders]
        if len(set(labels)) == len(labels):
            return labels
    return [str(folder) for folder in folders]


def _load_model(folder: Path, label: str, kind: Kind, device: torch.device) -> Model:
    if not (folder / "generator" / CONFIG_FILE).is_file():
        raise MissingStageError(
            f"{folder}: no trained model there. Give a folder that has generator/ and, unless the generator is to be"
            " measured alone, refiner/; `recolor train generator` and `recolor train refiner` make them."
        )
    generator = load_generator(folder / "generator", device)
    has_refiner = (folder / "refiner" / CONFIG_FILE).is_file()
    refiner = load_refiner(folder / "refiner", device) if has_refiner else None
    return Model(label, kind, folder, generator, refiner, device)


def _shards_of(details: Mapping[str, Any]) -> str | None:
    """`training.inputs.shards`, if that is all; a config of other hands may have anything there, or nothing."""
    inputs: Any = details
    for key in ("training", "inputs"):
        inputs = inputs.get(key) if isinstance(inputs, Mapping) else None
    if not isinstance(inputs, Mapping) or "start_from" in inputs:
        return None
    shards = inputs.get("shards")
    return shards if isinstance(shards, str) else None
