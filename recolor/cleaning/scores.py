"""The scores of all images for all issues in one table, `manifests/scores.parquet`.

`select` writes it last, from the scores of the detectors and its own verdicts. A detector or a `select` that runs again
deletes it before it changes a manifest, so that it never contradicts one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recolor.manifests.io import ROW_GROUP_ROWS, manifest_writer, read_table
from recolor.manifests.schemas import ISSUE_SCHEMAS, ISSUE_SCORES, MEASUREMENTS, OUTLIERS, SCORES
from recolor.pipeline.cache import Counts, Outcome, Part, require_record, run_part
from recolor.pipeline.workspace import Workspace

VERSION = 1


@dataclass(frozen=True, slots=True)
class _IssueScores:
    """The scores of all images for an issue, float64 [images], and their threshold; None if the detector is off."""

    score: pa.ChunkedArray
    threshold: float | None


def join_scores(workspace: Workspace, inputs: Mapping[str, str]) -> Outcome:
    """Writes `scores.parquet`: a row for each measured image, with its verdict, scores and thresholds.

    Args:
        workspace: Workspace in which `select` has written `clean.parquet` and `outliers.parquet`.
        inputs: Content hashes of what `select` has read.

    Raises:
        MissingStageError: `clean.parquet` or `outliers.parquet` has changed since it was written.
    """
    target, clean = workspace.manifest("scores"), workspace.manifest("clean")
    sources = {name: workspace.manifest(name) for name in ("measurements", *ISSUE_SCHEMAS, "clean")}
    contents = {**inputs, "clean": require_record(clean, "select").content}
    part = Part(workspace, "select scores", VERSION, (), contents, (target,), sources)
    return run_part(part, lambda staging: _join(workspace, staging / target.name))


def _join(workspace: Workspace, target: Path) -> Counts:
    images = read_table(MEASUREMENTS, workspace.manifest("measurements"), ["path", "reason"])
    rejected = pc.is_in(images["path"], value_set=_rejected(workspace))
    scores = {issue: _read(workspace.issue_scores(issue)) for issue in ISSUE_SCHEMAS}
    with manifest_writer(SCORES, target) as write:
        for start in range(0, len(images), ROW_GROUP_ROWS):
            some = images.slice(start, ROW_GROUP_ROWS)
            verdict = pc.if_else(rejected.slice(start, len(some)), "reject", "keep")
            columns = [some["path"], verdict]
            for issue in scores.values():
                columns += _columns(issue, start, some)
            write(pa.table(columns, SCORES.arrow.names))
    return {"images": len(images)}


def _rejected(workspace: Workspace) -> pa.Array:
    return read_table(OUTLIERS, workspace.manifest("outliers"), ["path"])["path"].combine_chunks()


def _read(path: Path) -> _IssueScores:
    table = read_table(ISSUE_SCORES, path)
    return _IssueScores(table["score"], table["threshold"][0].as_py())


def _columns(issue: _IssueScores, start: int, images: pa.Table) -> Iterator[pa.Array]:
    """Yields the score and the threshold of some images; the score is null where the detector did not judge."""
    score = issue.score.slice(start, len(images))
    not_judged = pc.and_(pc.is_valid(images["reason"]), pc.equal(score, 1.0))
    yield pc.if_else(not_judged, None, score)
    yield pa.array(np.full(len(images), np.nan if issue.threshold is None else issue.threshold), from_pandas=True)
