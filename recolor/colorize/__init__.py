"""Colouring photographs with trained models."""

from recolor.colorize.colorizer import Colorizer
from recolor.colorize.files import ColorizeResult, Failure, colorize_paths

__all__ = ["ColorizeResult", "Colorizer", "Failure", "colorize_paths"]
