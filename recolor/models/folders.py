"""Checks of folders of trained models, which load no network."""

from pathlib import Path

from recolor.errors import MissingStageError
from recolor.models.identity import CONFIG_FILE


def has_model(folder: Path, name: str) -> bool:
    """Returns whether a folder contains a model.

    Args:
        folder: Folder of models, such as `data/models`.
        name: `generator` or `refiner`.
    """
    return (folder / name / CONFIG_FILE).is_file()


def check_both_models(folder: Path) -> None:
    """Checks that a folder contains a generator and a refiner.

    Raises:
        MissingStageError: One is missing; names the stage to run.
    """
    for name in ("generator", "refiner"):
        if not has_model(folder, name):
            raise MissingStageError(
                f"{folder / name}: contains no trained {name}. Run `recolor train {name}` first, or give the folder"
                " of other models with --model."
            )


def check_generator(folder: Path) -> None:
    """Checks that a folder contains a generator.

    Raises:
        MissingStageError: It contains none.
    """
    if not has_model(folder, "generator"):
        raise MissingStageError(
            f"{folder}: no trained model there. Give a folder that contains generator/ and, optionally, refiner/."
            " `recolor train generator` and `recolor train refiner` write them."
        )
