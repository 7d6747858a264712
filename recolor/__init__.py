"""Recolor: from a folder of photographs to a model that colours greyscale landscapes.

The names in `__all__` are the public interface; everything else is private and may move. Each name is loaded when it
is first used, so that `import recolor` alone loads neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from recolor.version import __version__

if TYPE_CHECKING:
    from recolor import errors as errors
    from recolor.colorize import Colorizer as Colorizer
    from recolor.colorize import Look as Look
    from recolor.config.loading import load_config as load_config
    from recolor.config.settings import Config as Config
    from recolor.dataset.dataset import ShardDataset as ShardDataset
    from recolor.dataset.loader import make_loader as make_loader
    from recolor.evaluation import evaluate as evaluate
    from recolor.manifests.pandas import read_manifest as read_manifest
    from recolor.stages import run_stages as run_stages

__all__ = [
    "Colorizer",
    "Config",
    "Look",
    "ShardDataset",
    "__version__",
    "errors",
    "evaluate",
    "load_config",
    "make_loader",
    "read_manifest",
    "run_stages",
]

_MODULES = {
    "Colorizer": "recolor.colorize",
    "Config": "recolor.config.settings",
    "Look": "recolor.colorize",
    "ShardDataset": "recolor.dataset.dataset",
    "evaluate": "recolor.evaluation",
    "load_config": "recolor.config.loading",
    "make_loader": "recolor.dataset.loader",
    "read_manifest": "recolor.manifests.pandas",
    "run_stages": "recolor.stages",
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so reports a name that does not exist

    def __getattr__(name: str) -> object:
        """Returns a public name, and loads its module when it is first used."""
        if name == "errors":
            return import_module("recolor.errors")
        if name not in _MODULES:
            raise AttributeError(f"module 'recolor' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return found


def __dir__() -> list[str]:
    """Returns the public names, for completion in a shell or notebook."""
    return sorted(__all__)
