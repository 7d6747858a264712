"""Suggests thresholds from the data set's distribution of scores. No image is opened."""

from recolor.cleaning.thresholds.gap import suggest_threshold
from recolor.cleaning.thresholds.survey import Suggestion, suggest
from recolor.cleaning.thresholds.text import suggestion_text

__all__ = ["Suggestion", "suggest", "suggest_threshold", "suggestion_text"]
