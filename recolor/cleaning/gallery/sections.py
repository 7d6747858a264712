"""Sections of the gallery, one per issue.

Outliers come worst first, then images just above the threshold.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from recolor.cleaning.detect.outlier_table import THRESHOLD
from recolor.cleaning.gallery.cards import Facts, Section, make_cards, make_groups
from recolor.cleaning.gallery.near import NEAR_IMAGES, Found, found_in, near_misses
from recolor.cleaning.select import detected_contents
from recolor.config.settings import Config
from recolor.manifests.io import read_table
from recolor.manifests.schemas import ISSUE_SCHEMAS, MEASUREMENTS, OUTLIERS
from recolor.pipeline.cache import require_record
from recolor.pipeline.workspace import Workspace


def make_sections(workspace: Workspace, config: Config, max_outliers: int) -> tuple[Section, ...]:
    """Reads the manifests into sections of the gallery. No image is opened.

    Args:
        workspace: A workspace whose images are measured, detected and selected.
        config: Settings of the detectors.
        max_outliers: Maximum number of outliers per issue.

    Returns:
        A section for each issue with images listed or just above the threshold. Corrupt images, which have no picture,
        come last.

    Raises:
        MissingStageError: A manifest does not exist, or was made from other measurements.
    """
    sources = {name: workspace.manifest(name) for name in ("measurements", *ISSUE_SCHEMAS)}
    detected_contents(sources)
    require_record(workspace.manifest("clean"), "select")  # written together with the outliers
    measurements = read_table(MEASUREMENTS, sources["measurements"])
    facts = _facts(measurements, read_table(OUTLIERS, workspace.manifest("outliers")))
    tables = {issue: read_table(schema, sources[issue]) for issue, schema in ISSUE_SCHEMAS.items()}
    sections = [
        _section(issue, table, measurements, facts, config=config, most=max_outliers) for issue, table in tables.items()
    ]
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


def _facts(measurements: pa.Table, outliers: pa.Table) -> dict[str, Facts]:
    rejected = dict(zip(outliers["path"].to_pylist(), map(tuple, outliers["issues"].to_pylist())))
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
