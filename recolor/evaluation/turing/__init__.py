"""A visual Turing test: photographs beside their coloured versions, as a page to click through."""

from recolor.evaluation.turing.make import Turing, make_turing
from recolor.evaluation.turing.pairs import Skipped

__all__ = ["Skipped", "Turing", "make_turing"]
