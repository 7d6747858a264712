"""Tables of an evaluation for the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from recolor.color.arrays import Floats
from recolor.evaluation.comparison import Comparison
from recolor.evaluation.hues import HueMetrics
from recolor.evaluation.methods import Method
from recolor.evaluation.outputs import Evaluation
from recolor.evaluation.report import COLUMNS, HUE_COLUMNS, MetricColumn, photographs
from recolor.evaluation.summary import HueSummary, SetMetrics, Summary
from recolor.manifests.io import read_table
from recolor.manifests.schemas import HUE_METRICS, HUES, METRICS
from recolor.pages.text_table import text_table


def evaluation_text(evaluation: Evaluation, width_chars: int | None = None) -> str:
    """Returns the description of the images, the metrics and hues of all methods, and all comparisons."""
    tables = metrics_text(evaluation.summaries, width_chars), "", hues_text(evaluation.summaries, width_chars)
    lines = [evaluation.measured_on, *evaluation.notes, "", *tables]
    for comparison in evaluation.comparisons:
        lines += ["", comparison_text(comparison, width_chars)]
    return "\n".join(lines)


def stored_text(folder: Path, width_chars: int | None = None) -> str:
    """Returns the tables of `metrics.parquet` and `hues.parquet` in an evaluation's folder.

    Raises:
        MissingStageError: A file is missing.
    """
    hues = read_table(HUE_METRICS, folder / "hues.parquet").to_pylist()
    of_methods = [hues[start : start + len(HUES)] for start in range(0, len(hues), len(HUES))]
    rows = read_table(METRICS, folder / "metrics.parquet").to_pylist()
    summaries = [_read_summary(*pair) for pair in zip(rows, of_methods, strict=True)]
    tables = metrics_text(summaries, width_chars), hues_text(summaries, width_chars)
    return "\n\n".join([photographs(summaries[0].images), *tables])


def metrics_text(summaries: Sequence[Summary], width_chars: int | None = None) -> str:
    """Returns a table with a row for each method and a column for each metric.

    The half-width of the 95% interval follows each value after a ±. Controls are marked with an asterisk.
    """
    shown = [column for column in COLUMNS if column.short and getattr(summaries[0].metrics, column.metric) is not None]
    titles = ("", *(column.heading for column in shown))
    units = ("", *(column.unit for column in shown))
    rows = [(_name(summary), *(_with_half_width(column, summary) for column in shown)) for summary in summaries]
    truth = ("photographs", *(_of_truth(column, summaries[0]) for column in shown))
    table = text_table([titles, units, *rows, truth], width_chars)
    return table + "\n±: half of the 95% interval over the images. *: a control."


def hues_text(summaries: Sequence[Summary], width_chars: int | None = None) -> str:
    """Returns a table: images closer than grey, green kept, share of each hue."""
    headings = {"closer_than_grey": ("closer ↑", "than grey"), "green_kept": ("green ↑", "kept")}
    measured = [column for column in HUE_COLUMNS if getattr(summaries[0].metrics, column.metric) is not None]
    columns = [column for column in measured if column.metric in headings]
    titles, units = (("", *(headings[column.metric][line] for column in columns)) for line in (0, 1))
    rows = [
        (
            _name(summary),
            *(_with_half_width(column, summary) for column in columns),
            *_percent(summary.hues.metrics.share),
        )
        for summary in summaries
    ]
    truth = ("photographs", *("-" for _ in columns), *_percent(summaries[0].hues.metrics.truth_share))
    return (
        text_table([(*titles, *HUES), (*units, *("%" for _ in HUES)), *rows, truth], width_chars)
        + "\ncloser than grey: images with a lower ΔE2000 than without colour, in %."
        + "\ngreen kept: truly green pixels that stay green, in %. Then: share of each hue."
    )


def comparison_text(comparison: Comparison, width_chars: int | None = None) -> str:
    """Returns a table of both models' metrics, differences, intervals and the better model."""
    of_metric = {item.metric: item for item in comparison.differences}
    first, second = comparison.first.model, comparison.second.model
    rows = [("", first, second, "difference", "95% interval", "better")]
    for column in (column for column in (*COLUMNS, *HUE_COLUMNS) if column.metric in of_metric):
        item = of_metric[column.metric]
        interval = f"{column.change(item.low)} .. {column.change(item.high)}"
        name = f"{column.heading} {column.unit}"
        values = (column.text(item.first), column.text(item.second), column.change(item.difference), interval)
        rows.append((name, *values, item.better or "-"))
    return text_table(rows, width_chars)


def _read_summary(row: Mapping[str, Any], hues: Sequence[Mapping[str, Any]]) -> Summary:
    """Returns the summary of a row of `metrics.parquet` and the rows of its hues."""
    value, low, high = (_read_metrics(row, end) for end in ("", "_low", "_high"))
    of_hues = HueSummary(*(_read_hues(hues, end) for end in ("", "_low", "_high")))
    return Summary(Method(row["model"], row["name"], row["kind"]), row["images"], value, low, high, of_hues)


def _read_metrics(row: Mapping[str, Any], end: str) -> SetMetrics[float]:
    """Returns the metrics or a bound of their intervals; the photographs' have no interval."""
    names = [item.name for item in fields(SetMetrics)]
    return SetMetrics(**{name: row.get(name + end, row[name]) for name in names})


def _read_hues(rows: Sequence[Mapping[str, Any]], end: str) -> HueMetrics:
    """Returns the hues or a bound of their intervals; the photographs' have no interval."""

    def column(name: str) -> Floats:
        return np.array([row.get(name + end, row[name]) for row in rows], np.float64)  # null becomes NaN

    names = [item.name for item in fields(HueMetrics) if item.name != "confusion"]
    confusion = np.stack([column(f"as_{given}") for given in HUES], axis=1)
    return HueMetrics(confusion=confusion, **{name: column(name) for name in names})


def _name(summary: Summary) -> str:
    method = summary.method
    name = f"{method.model}: {method.name}" if method.model else method.name
    return f"{name} *" if method.kind == "control" else name


def _with_half_width(column: MetricColumn, summary: Summary) -> str:
    value, low, high = (getattr(of, column.metric) for of in (summary.metrics, summary.low, summary.high))
    return f"{column.text(value)} ±{column.text((high - low) / 2)}"


def _percent(shares: Floats) -> tuple[str, ...]:
    return tuple(f"{100 * share:.1f}" for share in shares)


def _of_truth(column: MetricColumn, summary: Summary) -> str:
    truth = getattr(summary.metrics, f"truth_{column.metric}", None)
    return "-" if truth is None else column.text(truth)
