"""The pretrained models of the package; `MODEL_CARD.md` describes them."""

from pathlib import Path


def models_folder() -> Path:
    """Returns the folder of the pretrained models, for `Colorizer.from_folder`."""
    return Path(__file__).parent
