"""Summary of a demo run: planted and found faults, metrics, and paths of the results."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recolor.demo.plan import PLANTED
from recolor.demo.truth import CLEAN, Truth, read_truth
from recolor.manifests.pandas import read_manifest
from recolor.pages.text_table import text_table
from recolor.pipeline.workspace import Workspace

_SHOWN_METRICS = ("psnr_db", "ssim", "delta_e_2000", "ab_rmse", "colourfulness", "truth_colourfulness", "delta_cf_set")
_SHOWN_MISSES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Results of one issue's detector.

    Attributes:
        issue: Name of the issue.
        planted: Number of images with that fault (a duplicate and its original count as one).
        missed: Images with that fault that were not flagged.
        false_alarms: Paths of clean images that were flagged.
    """

    issue: str
    planted: int
    missed: tuple[Truth, ...]
    false_alarms: tuple[str, ...]


def demo_summary(workspace: Workspace, truth: Path, width_chars: int | None = None) -> str:
    """Compares the results of a demo run with the truth table.

    Args:
        workspace: Workspace of the demo run.
        truth: The truth table.
        width_chars: Width of the terminal; wider tables are cut into pieces.

    Returns:
        Plain text of several lines.

    Raises:
        InputError: There is no truth table.
        MissingStageError: A stage has not run.
        SchemaError: A table cannot be read.
    """
    rows = read_truth(truth)
    found = [count_found(rows, issue, _paths(workspace.manifest(issue))) for issue in PLANTED]
    rejected = _paths(workspace.manifest("outliers"))
    parts = (
        _found_table(found),
        _rejected_line(rows, rejected),
        *_missed_lines(found),
        "",
        _metrics_table(read_manifest(workspace.evaluation / "metrics.parquet"), width_chars),
        "",
        _places(workspace),
    )
    return "\n".join(parts) + "\n"


def count_found(rows: Sequence[Truth], issue: str, flagged: frozenset[str]) -> Found:
    """Compares the flagged images of one issue with the truth table.

    A duplicate counts as found if it or its original was flagged: the detector chooses which of the two to keep. A
    flagged original is therefore not a false alarm.
    """
    planted = [row for row in rows if row.issue == issue]
    originals = {row.original for row in planted if row.original}
    missed = tuple(row for row in planted if row.path not in flagged and row.original not in flagged)
    alarms = tuple(row.path for row in rows if row.issue == CLEAN and row.path in flagged - originals)
    return Found(issue=issue, planted=len(planted), missed=missed, false_alarms=alarms)


def _paths(manifest: Path) -> frozenset[str]:
    return frozenset(read_manifest(manifest)["path"])


def _found_table(found: Iterable[Found]) -> str:
    lines: list[tuple[str, ...]] = [("issue", "planted", "found", "missed", "false alarms")]
    for one in found:
        counts = one.planted, one.planted - len(one.missed), len(one.missed), len(one.false_alarms)
        lines.append((one.issue, *(str(count) for count in counts)))
    return text_table(lines)


def _rejected_line(rows: Sequence[Truth], rejected: frozenset[str]) -> str:
    clean = {row.path for row in rows if row.issue == CLEAN}
    originals = {row.original for row in rows if row.original}
    images = len({row.path for row in rows})
    wrongly = len(rejected & (clean - originals))
    return f"\n{len(rejected)} of {images} images were rejected, including {wrongly} of the {len(clean)} clean images."


def _missed_lines(found: Iterable[Found]) -> list[str]:
    """Returns a line with the missed kinds, most frequent first."""
    kinds = Counter(f"{one.issue}: {row.kind}" for one in found for row in one.missed)
    if not kinds:
        return []
    named = [f"{kind} ({count})" for kind, count in kinds.most_common(_SHOWN_MISSES)]
    rest = len(kinds) - len(named)
    return ["Missed: " + ", ".join(named) + (f", and {rest} more kinds." if rest else ".")]


def _metrics_table(metrics: pd.DataFrame, width_chars: int | None) -> str:
    shown = ["name", *(column for column in _SHOWN_METRICS if column in metrics.columns)]
    rows = metrics[shown].itertuples(index=False)
    cells = [tuple(value if isinstance(value, str) else f"{value:.3g}" for value in row) for row in rows]
    return text_table([tuple(shown), *cells], width_chars)


def _places(workspace: Workspace) -> str:
    return text_table(
        [
            ("pictures", str(workspace.evaluation / "pictures.png")),
            ("report", str(workspace.evaluation / "report.html")),
            ("manifests", str(workspace.manifests)),
        ],
        numbers=False,
    )
