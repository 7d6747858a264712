"""Formats suggestions for a terminal: histograms of block characters, and tables of counts."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from recolor.cleaning.thresholds.gap import log_odds
from recolor.cleaning.thresholds.survey import COLUMNS, Axis, Histogram, Suggestion

NO_SUGGESTION = "No suggestion: the scores have no gap that the current value misses."
_BLOCKS = " ▁▂▃▄▅▆▇█"
_ROWS = 3
_TICKS: Mapping[Axis, Sequence[float]] = MappingProxyType(
    {
        "score": (1e-6, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.999999),
        "ratio": tuple(base * 10.0**power for power in range(-2, 5) for base in (1, 2, 5)),
    }
)


def suggestion_text(suggestions: Sequence[Suggestion]) -> str:
    """Returns a histogram and a table per setting, and the options to apply suggestions."""
    parts = [_text_of(suggestion) for suggestion in suggestions]
    words = " ".join(f"--set {one.setting}={one.suggested:g}" for one in suggestions if one.suggested is not None)
    return "\n\n".join([*parts, f"To use the suggested values: {words}"] if words else parts)


def _text_of(suggestion: Suggestion) -> str:
    went = "above it" if suggestion.setting.endswith("max_aspect") else "below it"
    title = f"{suggestion.setting} = {suggestion.present:g}, {suggestion.judged:,} images"
    lines = [title, *_bars(suggestion.histogram), _axis_line(suggestion.histogram), _marks(suggestion)]
    lines += [f"{'value':>9} {went:>12}"]
    for step in suggestion.steps:
        share = step.images / max(suggestion.judged, 1)
        note = {suggestion.suggested: "  suggested", suggestion.present: "  current"}
        both = "  current, suggested" if suggestion.suggested == suggestion.present else note.get(step.limit, "")
        lines.append(f"{step.limit:>9g} {step.images:>12,} {share:>7.2%}{both if step.limit in note else ''}")
    if suggestion.suggested is None and suggestion.histogram.axis == "score":
        lines.append(NO_SUGGESTION)
    return "\n".join(line.rstrip() for line in lines)


def _bars(histogram: Histogram) -> list[str]:
    """Returns three lines of bars.

    Heights are square roots of the counts, so that small counts are visible.
    """
    heights = np.sqrt(histogram.counts)
    levels = np.ceil(heights / max(heights.max(), 1.0) * 8 * _ROWS).astype(int)
    return [
        "  " + "".join(_BLOCKS[int(np.clip(level - 8 * row, 0, 8))] for level in levels)
        for row in reversed(range(_ROWS))
    ]


def _axis_line(histogram: Histogram) -> str:
    """Returns a line of axis labels, each starting at its column, where there is room."""
    line = ""
    for tick in _TICKS[histogram.axis]:
        along = float(log_odds(np.array([tick]))[0]) if histogram.axis == "score" else float(np.log(tick))
        start = histogram.at(tick) + 2
        if histogram.low <= along <= histogram.high and start >= len(line) + (1 if line else 0):
            line = f"{line:<{start}}{tick:.6g}"
    return line


def _marks(suggestion: Suggestion) -> str:
    """Returns a line with `▲` at the current value and `△` at the suggested one, and says so."""
    marks = [" "] * COLUMNS
    marks[suggestion.histogram.at(suggestion.present)] = "▲"
    if suggestion.suggested is not None and suggestion.suggested != suggestion.present:
        marks[suggestion.histogram.at(suggestion.suggested)] = "△"
    return "  " + "".join(marks).rstrip() + ("\n  ▲ current  △ suggested" if "△" in marks else "  ▲ current")
