"""The models that come with the package; `MODEL_CARD.md` says what they learnt from and how good they are."""

from pathlib import Path


def models_folder() -> Path:
    """The folder that holds the shipped `generator/` and `refiner/`, as `Colorizer.from_folder` takes it."""
    return Path(__file__).parent
