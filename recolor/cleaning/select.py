"""The stage `select`: combines outliers and decisions into the list of kept images.

It deletes nothing.
"""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recolor.cleaning.decisions import Decision, decisions_file, parse_decisions, read_decisions, relative_decisions
from recolor.cleaning.detect import real_detail
from recolor.cleaning.index import and_more
from recolor.cleaning.scores import join_scores
from recolor.config.settings import SPLITS, Config, SelectConfig, Split
from recolor.errors import LIMITS, InputError, MissingStageError
from recolor.manifests.io import ROW_GROUP_ROWS, find_rows, manifest_writer, read_table, write_manifest
from recolor.manifests.schemas import CLEAN, ISSUE_SCHEMAS, MEASUREMENTS, OUTLIERS
from recolor.pipeline.cache import Counts, Outcome, Part, fingerprint, require_record, run_part
from recolor.pipeline.workspace import Workspace

SELECT_VERSION = 3
GROUP_DIGITS = 16
DECISION = "decision"  # the issue of an image that `decisions.csv` rejects
_SPLITS_ASCENDING = ("val", "test", "train")  # the order of their ranges in 0..1

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Verdict:
    """The issues of a rejected image, with one reason for each, and the lowest score."""

    issues: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    score: float = 1.0

    def add(self, issue: str, reason: str, score: float) -> None:
        """Adds an issue that rejects the image."""
        self.issues.append(issue)
        self.reasons.append(reason)
        self.score = min(self.score, score)


def select(workspace: Workspace, config: Config) -> Outcome:
    """Writes the kept images, `clean.parquet`, the rejected ones, `outliers.parquet`, and `scores.parquet`.

    Kept images have their split, rejected ones the reasons. Decisions in `manifests/decisions.csv` override the
    detectors; an image of which no part can be decoded is never kept. If all copies of a picture are rejected, the
    best copy that is rejected only as a duplicate is kept after all: most pixels that hold detail, then the first path.
    So a blurry enlargement does not cost its sharp original.

    Raises:
        MissingStageError: A detector's manifest does not exist, or was made from other measurements.
        ConfigError: `decisions.csv` is malformed; the message names the line.
        InputError: All images are rejected; the message counts them by issue.
    """
    file = decisions_file(workspace)
    text = read_decisions(file)
    decisions = relative_decisions(parse_decisions(text, file), workspace)
    part = _part(workspace, config, text)

    def build(staging: Path) -> Counts:
        counts = _select(part.sources, decisions, config.select, staging)
        workspace.manifest("scores").unlink(missing_ok=True)  # it must not contradict the new manifests
        return counts

    selected = run_part(part, build)
    scores = join_scores(workspace, part.inputs)
    note = _tally(decisions, part.sources["measurements"]) if decisions else ""
    return replace(selected, built=selected.built or scores.built, note=note)


def selection_part(workspace: Workspace, config: Config) -> Part:
    """Returns the selection, `clean.parquet` and `outliers.parquet`, as a part of the cache.

    Raises:
        MissingStageError: A detector's manifest does not exist, or was made from other measurements.
        ConfigError: `decisions.csv` cannot be read, or is malformed.
    """
    return _part(workspace, config, read_decisions(decisions_file(workspace)))


def _part(workspace: Workspace, config: Config, decisions_text: str) -> Part:
    sources = {name: workspace.manifest(name) for name in ("measurements", *ISSUE_SCHEMAS)}
    inputs = detected_contents(sources) | {"decisions": hashlib.sha256(decisions_text.encode()).hexdigest()}
    written = parse_decisions(decisions_text, decisions_file(workspace))
    decisions = relative_decisions(written, workspace)
    if decisions != written:  # what an absolute path means depends on the image folder, too
        inputs["decided"] = fingerprint({path: decision.keep for path, decision in decisions.items()})
    outputs = (workspace.manifest("clean"), workspace.manifest("outliers"))
    return Part(workspace, "select", SELECT_VERSION, config.select, inputs, outputs, sources)


def split_of(group: str, config: SelectConfig) -> Split:
    """Returns the split of a group of copies. It depends only on the group and the seed.

    Args:
        group: The first 16 hexadecimal digits of the kept copy's SHA-256.
        config: Fractions and seed.
    """
    split: Split = _splits(pa.chunked_array([[group]], pa.string()), config)[0].as_py()
    return split


def _splits(groups: pa.ChunkedArray, config: SelectConfig) -> pa.Array:
    """Returns the split of each group, from the SHA-256 of seed and group as a number in 0..1."""
    prefix = f"{config.seed}:".encode()
    codes = [np.zeros(0, np.int8)]
    for some in groups.cast(pa.binary()).chunks:
        digests = b"".join([hashlib.sha256(prefix + group).digest() for group in some.to_pylist()])
        at = np.frombuffer(digests, ">u8")[::4].astype(np.float64) / 2**64
        codes.append((at >= config.val_fraction).astype(np.int8) + (at >= config.val_fraction + config.test_fraction))
    return pa.array(_SPLITS_ASCENDING, pa.string()).take(pa.array(np.concatenate(codes)))


def detected_contents(sources: Mapping[str, Path]) -> dict[str, str]:
    """Returns the content hash of each manifest; all must be of the same measurements.

    An image that a detector has not seen would be kept, so every detector must have seen these measurements.

    Args:
        sources: The paths of `measurements` and of every issue's manifest.

    Raises:
        MissingStageError: A manifest does not exist, or was made from other measurements.
    """
    measured = require_record(sources["measurements"], "measure").content
    contents = {"measurements": measured}
    for issue in ISSUE_SCHEMAS:
        record = require_record(sources[issue], "detect")
        if record.inputs.get("measurements") != measured:
            raise MissingStageError(f"{sources[issue]}: made from other measurements. Run `recolor detect` first.")
        contents[issue] = record.content
    return contents


def _select(
    sources: Mapping[str, Path], decisions: Mapping[str, Decision], config: SelectConfig, staging: Path
) -> Counts:
    columns = ["path", "reason", *CLEAN.arrow.names[1:4], *real_detail.COLUMNS]
    images = read_table(MEASUREMENTS, sources["measurements"], columns)
    issues = {name: read_table(schema, sources[name]) for name, schema in ISSUE_SCHEMAS.items()}
    verdicts = judge(issues, decisions, images)
    _warn_of_ignored(decisions, images)
    rejected = _among(images, verdicts)
    if pc.all(rejected).as_py():
        raise InputError(_nothing_kept(len(images), verdicts))
    splits = _write_clean(images, rejected, issues["duplicate"], config, staging / "clean.parquet")
    write_manifest(OUTLIERS, _outlier_table(verdicts), staging / "outliers.parquet")
    return {"images": len(images), "kept": sum(splits.values()), "rejected": len(verdicts), **splits}


def _write_clean(
    images: pa.Table, rejected: pa.ChunkedArray, duplicates: pa.Table, config: SelectConfig, target: Path
) -> dict[str, int]:
    """Writes the kept images in stretches, while the next ones are prepared.

    Returns the images per split.
    """
    copy = find_rows(images["path"], duplicates)
    marked = images.append_column("rejected", rejected).append_column("copy", copy)
    stretches = [marked.slice(start, ROW_GROUP_ROWS) for start in range(0, len(marked), ROW_GROUP_ROWS)]
    counts: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
    with manifest_writer(CLEAN, target) as write, ThreadPoolExecutor(2) as pool:
        for clean in pool.map(lambda some: _clean_table(some, duplicates, config), stretches):
            write(clean)
            counts.update(clean["split"].to_pylist())
    return dict(counts)


def _among(images: pa.Table, paths: Iterable[str]) -> pa.ChunkedArray:
    """Returns whether the path of each image is among these: bool [images]."""
    return pc.is_in(images["path"], value_set=pa.array(list(paths), pa.string()))


def judge(issues: Mapping[str, pa.Table], decisions: Mapping[str, Decision], images: pa.Table) -> dict[str, Verdict]:
    """Returns the verdict of each rejected image, by path; images without a verdict are kept.

    Args:
        issues: The table of each issue.
        decisions: The decisions of `decisions.csv`, by path.
        images: Path, reason, size and the columns `real_detail.COLUMNS` of every image, out of `measurements`.
    """
    verdicts: dict[str, Verdict] = {}
    for name, table in issues.items():
        for path, reason, score in zip(*(table[column].to_pylist() for column in ("path", "reason", "score"))):
            verdicts.setdefault(path, Verdict()).add(name, reason, score)
    known = set(images["path"].filter(_among(images, decisions)).to_pylist())
    refused = _refused(images)
    undecodable = _refused(images.filter(pc.is_null(images["width_px"])))
    for path, decision in decisions.items():
        if path in known and not decision.keep:
            verdicts.setdefault(path, Verdict()).add(DECISION, f"rejected in decisions.csv, line {decision.line}", 0.0)
        elif path in known and path not in undecodable:
            verdicts.pop(path, None)
    # Images that cannot be decoded are kept by a decision only, even if `corrupt` is switched off.
    for path, reason in refused.items():
        is_kept = path in decisions and decisions[path].keep and path not in undecodable
        if path not in verdicts and not is_kept:
            verdicts[path] = Verdict(["too_large" if reason in LIMITS else "corrupt"], [reason], 0.0)
    _replace_rejected(verdicts, issues["duplicate"], images)
    return verdicts


def _tally(decisions: Mapping[str, Decision], measurements: Path) -> str:
    """Returns how many decisions were applied, such as `decisions.csv: 41 applied, 2 unknown`."""
    ignored = _ignored(decisions, read_table(MEASUREMENTS, measurements, ["path", "reason", "width_px"]))
    applied = len(decisions) - len(ignored.unknown) - len(ignored.undecodable)
    undecodable = f", {len(ignored.undecodable):,} cannot be decoded" if ignored.undecodable else ""
    return f"decisions.csv: {applied:,} applied, {len(ignored.unknown):,} unknown{undecodable}"


@dataclass(frozen=True, slots=True)
class _Ignored:
    """Paths of decisions without effect: not among the images, or to be kept although they cannot be decoded."""

    unknown: list[str]
    undecodable: list[str]


def _ignored(decisions: Mapping[str, Decision], images: pa.Table) -> _Ignored:
    known = set(images["path"].filter(_among(images, decisions)).to_pylist())
    undecodable = _refused(images.filter(pc.is_null(images["width_px"])))
    return _Ignored(
        [path for path in decisions if path not in known],
        [path for path, decision in decisions.items() if decision.keep and path in undecodable],
    )


def _warn_of_ignored(decisions: Mapping[str, Decision], images: pa.Table) -> None:
    """Logs which decisions have no effect, in one line for each cause."""
    ignored = _ignored(decisions, images)
    for paths, why in (
        (ignored.unknown, "is not among the images; line ignored."),
        (ignored.undecodable, "cannot be decoded, so it cannot be kept."),
    ):
        if paths:
            line = decisions[paths[0]].line
            _log.warning("decisions.csv, line %d: %r %s%s", line, paths[0], why, and_more(paths))


def _replace_rejected(verdicts: dict[str, Verdict], duplicates: pa.Table, images: pa.Table) -> None:
    """Keeps one copy of each picture whose copies are all rejected, if one is rejected only as a duplicate."""
    images = images.filter(pc.is_in(images["path"], value_set=duplicates["path"].combine_chunks()))
    pixels = dict(zip(images["path"].to_pylist(), real_detail.real_pixels(images).tolist()))
    copies: dict[str, list[str]] = defaultdict(list)
    for path, kept_path in zip(duplicates["path"].to_pylist(), duplicates["kept_path"].to_pylist()):
        copies[kept_path].append(path)
    for kept_path, paths in copies.items():
        spare = [path for path in paths if path in verdicts and verdicts[path].issues == ["duplicate"]]
        if spare and all(path in verdicts for path in (kept_path, *paths)):
            del verdicts[min(spare, key=lambda path: (-pixels[path], path))]


def _refused(images: pa.Table) -> dict[str, str]:
    images = images.filter(pc.is_valid(images["reason"]))
    return dict(zip(images["path"].to_pylist(), images["reason"].to_pylist()))


def _clean_table(marked: pa.Table, duplicates: pa.Table, config: SelectConfig) -> pa.Table:
    """Returns the images that are not `rejected`, with their split.

    The column `copy` is the image's row in the duplicates, or null.
    """
    kept = marked.filter(pc.invert(marked["rejected"]))
    own = pc.utf8_slice_codeunits(kept["sha256"], 0, GROUP_DIGITS)
    groups = pc.coalesce(duplicates["group"].combine_chunks().take(kept["copy"]), own)
    columns = {"group": groups, "split": _splits(groups, config)}
    return pa.table([columns[name] if name in columns else kept[name] for name in CLEAN.arrow.names], CLEAN.arrow.names)


def _outlier_table(verdicts: Mapping[str, Verdict]) -> pa.Table:
    rows = sorted(verdicts.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape"))
    columns = [
        [path for path, _ in rows],
        [verdict.issues for _, verdict in rows],
        [verdict.reasons for _, verdict in rows],
        [verdict.score for _, verdict in rows],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, OUTLIERS.arrow)]
    return pa.table(arrays, schema=OUTLIERS.arrow)


def _nothing_kept(images: int, verdicts: Mapping[str, Verdict]) -> str:
    counts = Counter(issue for verdict in verdicts.values() for issue in verdict.issues)
    listed = ", ".join(f"{issue} {count}" for issue, count in counts.most_common())
    return (
        f"all {images} images are rejected ({listed}). Look at them with `recolor gallery`, and decide there which to"
        f" keep. Or change a threshold (such as low_resolution.min_side_px=64), or switch a detector off"
        f" (blurry.enabled=false)."
    )
