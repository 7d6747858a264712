"""Fixtures shared with other test folders: small models and workspaces."""

from colorize.conftest import _one_thread
from evaluation.conftest import _written, evaluable, make_models, photographs

__all__ = ["_one_thread", "_written", "evaluable", "make_models", "photographs"]
