"""Suggested thresholds, from the data set's own distribution of scores. No image is opened."""

from recolor.suggest.mixture import suggest_threshold
from recolor.suggest.survey import Suggestion, suggest
from recolor.suggest.text import suggestion_text

__all__ = ["Suggestion", "suggest", "suggest_threshold", "suggestion_text"]
