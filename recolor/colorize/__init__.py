"""Colouring photographs with trained models. Each name is loaded when it is first used: plans need no torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recolor.colorize.colorizer import Colorizer
    from recolor.colorize.files import ColorizeResult, Failure, colorize_paths
    from recolor.colorize.look import Look
    from recolor.colorize.plan import is_video

__all__ = ["ColorizeResult", "Colorizer", "Failure", "Look", "colorize_paths", "is_video"]

_MODULES = {
    "ColorizeResult": "files",
    "Colorizer": "colorizer",
    "Failure": "files",
    "Look": "look",
    "colorize_paths": "files",
    "is_video": "plan",
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so reports a name that does not exist

    def __getattr__(name: str) -> object:
        """Returns a name of `__all__`, and loads its module when it is first used."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found
