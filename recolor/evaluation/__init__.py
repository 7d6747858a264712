"""Evaluation of trained models: metrics of models and controls, pictures, an HTML report.

The names of `__all__` are loaded when they are first used: `recolor.evaluation.part` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recolor.evaluation.adhoc import Evaluated as Evaluated
    from recolor.evaluation.adhoc import evaluate_photos as evaluate_photos
    from recolor.evaluation.adhoc import evaluate_split as evaluate_split
    from recolor.evaluation.calibration import calibration_text as calibration_text
    from recolor.evaluation.calibration import suggest_calibration as suggest_calibration
    from recolor.evaluation.networks import load_networks as load_networks
    from recolor.evaluation.part import evaluation_part as evaluation_part
    from recolor.evaluation.run import evaluate as evaluate
    from recolor.evaluation.text import stored_text as stored_text

__all__ = [
    "Evaluated",
    "calibration_text",
    "evaluate",
    "evaluate_photos",
    "evaluate_split",
    "evaluation_part",
    "load_networks",
    "stored_text",
    "suggest_calibration",
]

_MODULES = {
    "Evaluated": "adhoc",
    "calibration_text": "calibration",
    "evaluate": "run",
    "evaluate_photos": "adhoc",
    "evaluate_split": "adhoc",
    "evaluation_part": "part",
    "load_networks": "networks",
    "stored_text": "text",
    "suggest_calibration": "calibration",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Returns a name of `__all__`, and loads its module."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
