"""How good the models are: metrics beside their controls, pictures, and a report."""

from recolor.evaluate.stage import evaluate

__all__ = ["evaluate"]
