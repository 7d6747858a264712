"""Sections of the gallery, one per issue.

Outliers come worst first, then images just above the threshold.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from recolor.cleaning.decisions import stored_decisions
from recolor.cleaning.detect.outlier_table import THRESHOLD
from recolor.cleaning.gallery.cards import Card, Facts, Section, make_cards, make_groups
from recolor.cleaning.gallery.near import NEAR_IMAGES, Found, found_in, near_misses
from recolor.cleaning.select import DECISION, Verdict, detected_contents, judge
from recolor.config.settings import Config
from recolor.manifests.io import read_table
from recolor.manifests.schemas import ISSUE_SCHEMAS, MEASUREMENTS
from recolor.pipeline.workspace import Workspace


def make_sections(workspace: Workspace, config: Config, max_outliers: int) -> tuple[Section, ...]:
    """Reads the manifests into sections of the gallery. No image is opened.

    Args:
        workspace: A workspace whose images are measured, and judged by the detectors. They need not be selected:
            `select` refuses to reject all images, and the page is where that is mended.
        config: Settings of the detectors.
        max_outliers: Maximum number of outliers per issue.

    Returns:
        A section for each issue with images listed or just above the threshold, then one for the images that only
        `decisions.csv` rejects. Corrupt images, which have no picture, come last.

    Raises:
        MissingStageError: A manifest does not exist, or was made from other measurements.
        ConfigError: `decisions.csv` is malformed; the message names the line.
    """
    sources = {name: workspace.manifest(name) for name in ("measurements", *ISSUE_SCHEMAS)}
    detected_contents(sources)
    measurements = read_table(MEASUREMENTS, sources["measurements"])
    tables = {issue: read_table(schema, sources[issue]) for issue, schema in ISSUE_SCHEMAS.items()}
    verdicts = judge(tables, stored_decisions(workspace), measurements)
    facts = _facts(measurements, verdicts)
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


def _facts(measurements: pa.Table, verdicts: Mapping[str, Verdict]) -> dict[str, Facts]:
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
