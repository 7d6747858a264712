"""Tables of an evaluation for the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from recolor.evaluation.comparison import Comparison
from recolor.evaluation.methods import Method
from recolor.evaluation.outputs import Evaluation
from recolor.evaluation.report import COLUMNS, MetricColumn, photographs
from recolor.evaluation.summary import SetMetrics, Summary
from recolor.manifests.io import read_table
from recolor.manifests.schemas import METRICS


def evaluation_text(evaluation: Evaluation) -> str:
    """Returns the description of the images, the metrics of all methods, and all comparisons."""
    lines = [evaluation.measured_on, *evaluation.notes, "", metrics_text(evaluation.summaries)]
    for comparison in evaluation.comparisons:
        lines += ["", comparison_text(comparison)]
    return "\n".join(lines)


def stored_text(folder: Path) -> str:
    """Returns the table of `metrics.parquet` in an evaluation's folder.

    Raises:
        MissingStageError: The file is missing.
    """
    summaries = [_read_summary(row) for row in read_table(METRICS, folder / "metrics.parquet").to_pylist()]
    return f"{photographs(summaries[0].images)}\n\n{metrics_text(summaries)}"


def metrics_text(summaries: Sequence[Summary]) -> str:
    """Returns a table with a row for each method and a column for each metric.

    The half-width of the 95% interval follows each value after a ±. Controls are marked with an asterisk.
    """
    shown = [column for column in COLUMNS if column.short and getattr(summaries[0].metrics, column.metric) is not None]
    titles = ("", *(column.heading for column in shown))
    units = ("", *(column.unit for column in shown))
    rows = [(_name(summary.method), *(_with_half_width(column, summary) for column in shown)) for summary in summaries]
    truth = ("photographs", *(_of_truth(column, summaries[0]) for column in shown))
    return aligned([titles, units, *rows, truth]) + "\n±: half of the 95% interval over the images. *: a control."


def comparison_text(comparison: Comparison) -> str:
    """Returns a table of both models' metrics, differences, intervals and the better model."""
    of_metric = {item.metric: item for item in comparison.differences}
    first, second = comparison.first.model, comparison.second.model
    rows = [("", first, second, "difference", "95% interval", "better")]
    for column in (column for column in COLUMNS if column.metric in of_metric):
        item = of_metric[column.metric]
        interval = f"{column.change(item.low)} .. {column.change(item.high)}"
        name = f"{column.heading} {column.unit}"
        values = (column.text(item.first), column.text(item.second), column.change(item.difference), interval)
        rows.append((name, *values, item.better or "-"))
    return aligned(rows)


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Aligns the columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def _read_summary(row: Mapping[str, Any]) -> Summary:
    """Returns the summary of a row of `metrics.parquet`."""
    value, low, high = (_read_metrics(row, end) for end in ("", "_low", "_high"))
    return Summary(Method(row["model"], row["name"], row["kind"]), row["images"], value, low, high)


def _read_metrics(row: Mapping[str, Any], end: str) -> SetMetrics[float]:
    """Returns the metrics or a bound of their intervals; the photographs' have no interval."""
    names = [item.name for item in fields(SetMetrics)]
    return SetMetrics(**{name: row.get(name + end, row[name]) for name in names})


def _name(method: Method) -> str:
    name = f"{method.model}: {method.name}" if method.model else method.name
    return f"{name} *" if method.kind == "control" else name


def _with_half_width(column: MetricColumn, summary: Summary) -> str:
    value, low, high = (getattr(of, column.metric) for of in (summary.metrics, summary.low, summary.high))
    return f"{column.text(value)} ±{column.text((high - low) / 2)}"


def _of_truth(column: MetricColumn, summary: Summary) -> str:
    truth = getattr(summary.metrics, f"truth_{column.metric}", None)
    return "-" if truth is None else column.text(truth)
