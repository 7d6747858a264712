"""Sections of the gallery, one per issue.

Outliers come worst first, then images just above the threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from recolor.cleaning.decisions import Decision
from recolor.cleaning.detect.outlier_table import THRESHOLD
from recolor.cleaning.gallery.cards import Card, Facts, Section, make_cards, make_groups
from recolor.cleaning.gallery.near import NEAR_IMAGES, Found, found_in, near_misses
from recolor.cleaning.select import DECISION, Verdict, detected_contents, judge
from recolor.config.settings import Config
from recolor.manifests.io import read_table
from recolor.manifests.schemas import ISSUE_SCHEMAS, MEASUREMENTS
from recolor.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Detected:
    """The manifests of a workspace whose images are judged by the detectors.

    Attributes:
        measurements: All images, a table of `schemas.MEASUREMENTS`.
        issues: The outliers of each issue, tables of `ISSUE_SCHEMAS`.
        contents: Content hash of each manifest, by name.
    """

    measurements: pa.Table
    issues: Mapping[str, pa.Table]
    contents: Mapping[str, str]


def read_detected(workspace: Workspace) -> Detected:
    """Reads the manifests of a workspace. The images need not be selected.

    Raises:
        MissingStageError: A manifest does not exist, or was made from other measurements.
    """
    sources = {name: workspace.manifest(name) for name in ("measurements", *ISSUE_SCHEMAS)}
    contents = detected_contents(sources)
    measurements = read_table(MEASUREMENTS, sources["measurements"])
    return Detected(
        measurements, {issue: read_table(schema, sources[issue]) for issue, schema in ISSUE_SCHEMAS.items()}, contents
    )


def make_sections(
    detected: Detected, decisions: Mapping[str, Decision], config: Config, max_outliers: int
) -> tuple[Section, ...]:
    """Returns the sections of the gallery. No image is opened.

    Args:
        detected: The manifests. The images need not be selected: `select` refuses to reject all images, and the page is
            where that is mended.
        decisions: The decisions of `decisions.csv`, by path.
        config: Settings of the detectors.
        max_outliers: Maximum number of outliers per issue.

    Returns:
        A section for each issue with images listed or just above the threshold, then one for the images that only
        `decisions.csv` rejects. Corrupt images, which have no picture, come last.
    """
    measurements, tables = detected.measurements, detected.issues
    verdicts = judge(tables, decisions, measurements)
    facts = make_facts(measurements, verdicts)
    sections = [
        _section(issue, table, measurements, facts, config=config, most=max_outliers) for issue, table in tables.items()
    ]
    sections.append(_decided(verdicts, facts, max_outliers))
    shown = [section for section in sections if any(section.cards)]
    return tuple(sorted(shown, key=lambda section: section.issue == "corrupt"))


def worst_and_borderline(found: Sequence[Found], most: int) -> list[Found]:
    """Returns at most `most` outliers, worst first.

    Up to a quarter are those nearest to the threshold.
    """
    ordered = sorted(found, key=lambda item: (item.score, item.path))
    if len(ordered) <= most:
        return ordered
    borderline = min(NEAR_IMAGES, most // 4)
    return ordered[: most - borderline] + ordered[len(ordered) - borderline :]


def _decided(verdicts: Mapping[str, Verdict], facts: Mapping[str, Facts], most: int) -> Section:
    """Returns the section of the images that no issue lists, so that their decision can be changed on the page."""
    reasons = {path: verdict.reasons[0] for path, verdict in verdicts.items() if verdict.issues == [DECISION]}
    paths = sorted(reasons)[:most]
    return Section(
        issue=DECISION,
        meaning="an image that decisions.csv rejects and no issue lists",
        threshold=THRESHOLD,
        count=len(reasons),
        left_out=len(reasons) - len(paths),
        outliers=tuple(
            Card(path=path, facts=facts[path], score=None, reason=reasons[path], others=()) for path in paths
        ),
    )


def make_facts(measurements: pa.Table, verdicts: Mapping[str, Verdict]) -> dict[str, Facts]:
    """Returns the facts of every image, by path.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        verdicts: Verdicts of the rejected images, by path.
    """
    rejected = {path: tuple(verdict.issues) for path, verdict in verdicts.items()}
    rows = measurements.select(["path", "width_px", "height_px", "size_bytes"]).to_pylist()
    return {
        row["path"]: Facts(row["width_px"], row["height_px"], row["size_bytes"], rejected.get(row["path"], ()))
        for row in rows
    }


def _section(
    issue: str, table: pa.Table, measurements: pa.Table, facts: Mapping[str, Facts], *, config: Config, most: int
) -> Section:
    found = found_in(table)
    # The threshold of the manifest: the settings may have changed since.
    threshold = table["threshold"][0].as_py() if found else getattr(getattr(config, issue), "threshold", THRESHOLD)
    near = near_misses(issue, measurements, config, {item.path for item in found}, threshold)
    shown = worst_and_borderline(found, most)
    copies = issue == "duplicate"
    return Section(
        issue=issue,
        meaning=ISSUE_SCHEMAS[issue].row,
        threshold=threshold,
        count=len(found),
        left_out=len(found) - len(shown),
        outliers=() if copies else make_cards(issue, shown, facts),
        near=() if copies else make_cards(issue, near, facts),
        groups=make_groups(shown, found, facts) if copies else (),
        near_groups=make_groups(near, near, facts) if copies else (),
    )
