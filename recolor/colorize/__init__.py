"""Colouring photographs with trained models."""

from recolor.colorize.colorizer import Colorizer
from recolor.colorize.files import ColorizeResult, Failure, colorize_paths
from recolor.colorize.look import Look
from recolor.colorize.plan import is_video

__all__ = ["ColorizeResult", "Colorizer", "Failure", "Look", "colorize_paths", "is_video"]
