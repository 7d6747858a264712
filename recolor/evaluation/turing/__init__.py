"""A visual Turing test: a page that shows photographs next to their coloured versions."""

from recolor.evaluation.turing.make import Turing, make_turing
from recolor.evaluation.turing.pairs import Skipped

__all__ = ["Skipped", "Turing", "make_turing"]
