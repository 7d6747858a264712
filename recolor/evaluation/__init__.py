"""Evaluation of trained models: metrics of models and controls, pictures, an HTML report."""

from recolor.evaluation.adhoc import Evaluated, evaluate_photos, evaluate_split
from recolor.evaluation.calibration import calibration_text, suggest_calibration
from recolor.evaluation.networks import load_networks
from recolor.evaluation.run import evaluate, evaluation_part
from recolor.evaluation.text import stored_text

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
