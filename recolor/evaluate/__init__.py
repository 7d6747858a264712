"""How good the models are: metrics beside their controls, pictures, and a report."""

from recolor.evaluate.anywhere import Evaluated, evaluate_photos, evaluate_split
from recolor.evaluate.looks import looks_text, suggest_looks
from recolor.evaluate.networks import load_networks
from recolor.evaluate.stage import evaluate, evaluation_part
from recolor.evaluate.text import stored_text

__all__ = [
    "Evaluated",
    "evaluate",
    "evaluate_photos",
    "evaluate_split",
    "evaluation_part",
    "load_networks",
    "looks_text",
    "stored_text",
    "suggest_looks",
]
