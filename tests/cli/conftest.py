"""The verbs are tested on the small models and workspaces of the modules that they call."""

from colorize.conftest import _one_thread, models
from evaluation.conftest import evaluable, make_models, photographs

__all__ = ["_one_thread", "evaluable", "make_models", "models", "photographs"]
