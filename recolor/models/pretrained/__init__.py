"""The pretrained models of the package; `MODEL_CARD.md` describes their training data and metrics."""

from pathlib import Path


def models_folder() -> Path:
    """Returns the folder of the pretrained `generator/` and `refiner/`, for `Colorizer.from_folder`."""
    return Path(__file__).parent
