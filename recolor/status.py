"""What is there in a workspace, what of it is up to date, and what a run would do again. Changes nothing."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pyarrow as pa

from recolor.cleaning.detect import DETECT_VERSION, ISSUES, issue_part
from recolor.cleaning.index import VERSION as INDEX_VERSION
from recolor.cleaning.index import Scan, index_part, scan_folder
from recolor.cleaning.measure import MEASURE_VERSION, measurements_part, plan_measure
from recolor.cleaning.select import SELECT_VERSION, selection_part
from recolor.config.settings import Config
from recolor.errors import InputError, MissingStageError, RecolorError
from recolor.evaluation.part import FILES, evaluation_part, evaluation_settings
from recolor.evaluation.part import VERSION as EVALUATION_VERSION
from recolor.manifests.io import find_rows, read_table
from recolor.manifests.schemas import INDEX
from recolor.models.identity import MODEL_FILE
from recolor.models.runs import list_runs
from recolor.pipeline.cache import (
    RECORD_SUFFIX,
    Part,
    Record,
    outputs_present,
    read_record,
    record_path,
    require_record,
)
from recolor.pipeline.changes import INPUT, changes, own_changes
from recolor.pipeline.workspace import Workspace, image_folder
from recolor.shards.format import VERSION as SHARD_VERSION
from recolor.shards.format import index_path
from recolor.shards.writer import plan_shards, shard_index_part
from recolor.stages import CLEANING, STAGES, check_stages
from recolor.training.parts import (
    GENERATOR_VERSION,
    REFINER_VERSION,
    checkpoint_folder,
    generator_part,
    key_settings,
    refiner_part,
)

State = Literal["missing", "partly done", "stale", "current"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a stage is done: numbers of `images`, `issues`, `shards` or `steps`."""

    done: int
    total: int
    unit: str


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A stage of a workspace.

    Attributes:
        stage: Name of the stage.
        state: `missing`: it has never ended. `partly done`: neither, but a run continues from what is there. `stale`: a
            run would do it again, at least in part. `current`: a run would do nothing.
        reasons: Why it is not current, a text each.
        progress: How much of it a run need not do; None where a stage is done at once.
        counts: Numbers of its last end, such as `images`; for `detect`, outliers by issue.
        seconds_s: Seconds of work of its last end, those of parts done at the same time added up; None if missing.
        finished: When its last outputs were written, in UTC; None if missing.
        command: The command that runs it, such as `recolor shards build`.
    """

    stage: str
    state: State
    reasons: tuple[str, ...] = ()
    progress: Progress | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds_s: float | None = None
    finished: datetime | None = None
    command: str = ""

    @property
    def is_possible(self) -> bool:
        """Whether a run of the stage would not end with an error at once."""
        return not any(reason.startswith(_BLOCKED) for reason in self.reasons)


def workspace_status(
    workspace: Workspace,
    images: Path | None,
    config: Config,
    stages: Collection[str] | None = None,
    issues: Collection[str] = ISSUES,
) -> tuple[StageStatus, ...]:
    """Returns the states of stages, in the order of the pipeline, as a run with these settings would find them.

    Looks at the folder of photographs and at records; reads no photograph, and hashes only files that were touched.

    Args:
        workspace: The workspace; it need not exist.
        images: The folder of photographs. None: the folder that was indexed last.
        config: Settings of the run.
        stages: The stages that it would run; by default all.
        issues: The issues that it would detect.

    Raises:
        ConfigError: A stage is unknown.
    """
    chosen = set(check_stages(stages))
    found: list[StageStatus] = []
    for name in STAGES:
        if name in chosen:
            status = _STATUS_OF[name](_Context(workspace, images, config, tuple(issues)))
            found.append(replace(_after(status, found), command=COMMANDS[name]))
    return tuple(found)


def next_command(statuses: Sequence[StageStatus]) -> str:
    """Returns the command to run next, such as `recolor clean`; empty if everything is current."""
    waiting = [
        status
        for status in statuses
        if status.state != "current" and (status.progress is None or status.progress.total)
    ]
    if not waiting:
        return ""
    cleaning = [status for status in waiting if status.stage in CLEANING]
    return "recolor clean" if len(cleaning) > 1 else waiting[0].command


COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "index": "recolor index",
        "measure": "recolor measure",
        "detect": "recolor detect",
        "select": "recolor select",
        "shard": "recolor shards build",
        "train-generator": "recolor train generator",
        "train-refiner": "recolor train refiner",
        "evaluate": "recolor evaluate",
    }
)


@dataclass(frozen=True, slots=True)
class _Context:
    """What the status of a stage depends on: workspace, photographs, settings, and the issues of `detect`."""

    workspace: Workspace
    images: Path | None
    config: Config
    issues: tuple[str, ...]


def _after(status: StageStatus, earlier: Sequence[StageStatus]) -> StageStatus:
    """Returns the status of a stage after others that a run would do first, which may change its inputs."""
    waiting = [each.stage for each in earlier if each.state != "current"]
    if not waiting:
        return status
    own = tuple(reason for reason in status.reasons if not reason.startswith(_BLOCKED))
    if status.state == "missing":
        return replace(status, reasons=own)
    state: State = "stale" if status.state == "current" else status.state
    return replace(status, state=state, reasons=(*own, f"after {waiting[-1]}, if that has another result"))


_BLOCKED = "not possible: "  # how a reason begins that a run would end with


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A part of a stage as a run would have it now.

    Attributes:
        workspace: The workspace.
        stage: Name of the stage.
        group: Name of its group of settings.
        output: Its first output, beside which its record is.
        version: Version of the stage.
        settings: The settings in its key.
        part: Returns all that its key holds; raises an error if an earlier stage is missing.
    """

    workspace: Workspace
    stage: str
    group: str
    output: Path
    version: int
    settings: object
    part: Callable[[], Part]

    @property
    def record(self) -> Record | None:
        """The record of the part as it is there."""
        return read_record(record_path(self.output))

    def own_changes(self, record: Record) -> list[str]:
        """Returns what differs from a record apart from the inputs."""
        return own_changes(self.workspace, record, self.version, self.settings, self.group)


def _status(wanted: _Wanted) -> StageStatus:
    """Returns the status of a stage of one part."""
    record = wanted.record
    try:
        part = wanted.part()
        reasons = [] if record is None else changes(record, part, wanted.group)
    except RecolorError as error:
        own = [] if record is None else wanted.own_changes(record)
        reasons = [*own, f"{_BLOCKED}{error}"]
    if record is None:
        return StageStatus(wanted.stage, "missing", tuple(reasons))
    status = StageStatus(wanted.stage, "stale" if reasons else "current", tuple(reasons), counts=record.counts)
    return _done(status, [record])


def _done(status: StageStatus, records: Sequence[Record]) -> StageStatus:
    """Returns a status with the time of work and of the last output of its records."""
    seconds_s = round(sum(record.seconds_s for record in records), 3)
    written_ns = max(output.mtime_ns for record in records for output in record.outputs)
    return replace(status, seconds_s=seconds_s, finished=datetime.fromtimestamp(written_ns // 10**9, UTC))


def _index(context: _Context) -> StageStatus:
    workspace, config = context.workspace, context.config

    def part() -> Part:
        return index_part(workspace, _scan(context), config)

    wanted = _Wanted(workspace, "index", "index", workspace.manifest("index"), INDEX_VERSION, config.index, part)
    record, status = wanted.record, _status(wanted)
    if record is None:
        return status
    if not status.is_possible and len(status.reasons) == 1:  # the photographs are not there; the stages after it go on
        status = replace(status, state="current")
    return _reworded(status, lambda _: _file_changes(context, record))


def _scan(context: _Context) -> Scan:
    images = image_folder(context.workspace, context.images)
    return scan_folder(images, context.config.index, skip=context.workspace.own_folders)


def _reworded(status: StageStatus, text: Callable[[str], str]) -> StageStatus:
    """Returns a status whose inputs that differ have a text each, equal ones once."""
    reasons = (text(each.removeprefix(INPUT)) if each.startswith(INPUT) else each for each in status.reasons)
    return replace(status, reasons=tuple(dict.fromkeys(reasons)))


def _file_changes(context: _Context, record: Record) -> str:
    """Returns how the files in the folder differ from the index, such as `images: 3 new, 1 removed`."""
    if not outputs_present(context.workspace, record):
        return "other images"
    scan = _scan(context)
    before = read_table(INDEX, context.workspace.manifest("index"))
    paths = pa.chunked_array([pa.array([file.path for file in scan.found], pa.string())])
    at = find_rows(paths, before).to_pylist()
    sizes, times = before["size_bytes"].to_pylist(), before["mtime_ns"].to_pylist()
    known = [(file, row) for file, row in zip(scan.found, at, strict=True) if row is not None]
    counts = {
        "new": len(scan.found) - len(known),
        "changed": sum((file.size_bytes, file.mtime_ns) != (sizes[row], times[row]) for file, row in known),
        "removed": len(before) - len(known),
    }
    return "images: " + ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _measure(context: _Context) -> StageStatus:
    workspace, config = context.workspace, context.config
    output = workspace.manifest("measurements")
    index = workspace.manifest("index")

    def part() -> Part:
        require_record(index, "index")  # raises an error if the file is damaged
        return measurements_part(workspace, config)

    wanted = _Wanted(workspace, "measure", "measure", output, MEASURE_VERSION, config.measure, part)
    status = _reworded(_status(wanted), lambda _: "other images")
    try:
        require_record(index, "index")
    except MissingStageError:
        return status
    plan = plan_measure(workspace, context.images or _folder(workspace), config)
    missing = sum(len(part.rows) for part in plan.missing)
    progress = Progress(plan.reused, plan.reused + missing, "images")
    return _in_parts(status, wanted, progress, "other images", workspace.measured_parts.glob(f"*{RECORD_SUFFIX}"))


def _shard(context: _Context) -> StageStatus:
    workspace, config = context.workspace, context.config
    wanted = _Wanted(
        workspace,
        "shard",
        "shard",
        index_path(workspace),
        SHARD_VERSION,
        config.shard,
        lambda: shard_index_part(workspace, config),
    )
    status = _reworded(_status(wanted), lambda _: "another selection")
    try:
        plan = plan_shards(workspace, config)
    except (MissingStageError, InputError):
        return status
    missing = sum(len(part.buckets) for part in plan.missing)
    progress = Progress(plan.reused, plan.reused + missing, "shards")
    return _in_parts(status, wanted, progress, "another selection", workspace.shards.glob(f"shard-*{RECORD_SUFFIX}"))


def _in_parts(
    status: StageStatus, wanted: _Wanted, progress: Progress, why: str, records: Iterable[Path]
) -> StageStatus:
    """Returns the status of a stage that is done in parts, of which some may be there before it has ended.

    Args:
        status: Its status without regard to parts.
        wanted: The part that joins them.
        progress: How many of them are there.
        why: Why some are not, if it is for no change of a setting or a version.
        records: Paths of the records of the parts.
    """
    record = wanted.record
    if record is None:
        return StageStatus(status.stage, "partly done" if progress.done else "missing", progress=progress)
    if progress.done < progress.total:  # a part that joins them cannot be had, which is no news
        status = replace(status, state="stale", reasons=tuple(wanted.own_changes(record)) or (why,))
    parts = [part for path in records if (part := read_record(path)) is not None]
    return replace(_done(status, [record, *parts]), progress=progress)


def _detect(context: _Context) -> StageStatus:
    found = {issue: _issue(context, issue) for issue in context.issues}
    there = {issue: status for issue, status in found.items() if status.state != "missing"}
    done = sum(status.state == "current" for status in found.values())
    progress = Progress(done, len(found), "issues")
    reasons = tuple(dict.fromkeys(reason for status in found.values() for reason in status.reasons))
    if not there:
        return StageStatus("detect", "missing", reasons, progress)
    missing = [issue for issue in found if issue not in there]
    state: State = "stale" if reasons else "partly done" if missing else "current"
    return StageStatus(
        stage="detect",
        state=state,
        reasons=(*reasons, f"not yet: {', '.join(missing)}") if missing else reasons,
        progress=progress,
        counts={issue: status.counts["outliers"] for issue, status in there.items()},
        seconds_s=round(sum(status.seconds_s or 0.0 for status in there.values()), 3),
        finished=max(status.finished for status in there.values() if status.finished is not None),
    )


def _issue(context: _Context, issue: str) -> StageStatus:
    workspace, config = context.workspace, context.config
    wanted = _Wanted(
        workspace,
        issue,
        issue,
        workspace.manifest(issue),
        DETECT_VERSION,
        getattr(config, issue),
        lambda: issue_part(workspace, issue, config),
    )
    return _reworded(_status(wanted), lambda name: f"other {name}")


def _select(context: _Context) -> StageStatus:
    workspace, config = context.workspace, context.config
    wanted = _Wanted(
        workspace,
        "select",
        "select",
        workspace.manifest("clean"),
        SELECT_VERSION,
        config.select,
        lambda: selection_part(workspace, config),
    )
    texts = {"measurements": "other measurements", "decisions": "decisions.csv has changed"}
    status = _reworded(_status(wanted), lambda name: texts.get(name, f"other outliers: {name}"))
    if status.state == "current" and not workspace.manifest("scores").is_file():
        return replace(status, state="stale", reasons=("missing: scores.parquet",))
    return status


def _train_generator(context: _Context) -> StageStatus:
    settings = context.config.generator
    wanted = _model(context, "generator", GENERATOR_VERSION, key_settings(settings), generator_part)
    return _train(wanted, context.config, settings.train.steps)


def _train_refiner(context: _Context) -> StageStatus:
    settings = context.config.refiner
    wanted = _model(context, "refiner", REFINER_VERSION, key_settings(settings), refiner_part)
    return _train(wanted, context.config, settings.train.steps)


def _model(
    context: _Context, name: str, version: int, settings: object, part: Callable[[Workspace, Config], Part]
) -> _Wanted:
    """Returns what is wanted of a training."""
    file = context.workspace.models / name / MODEL_FILE
    current = partial(part, context.workspace, context.config)
    return _Wanted(context.workspace, f"train-{name}", name, file, version, settings, current)


def _train(wanted: _Wanted, config: Config, steps: int) -> StageStatus:
    texts = {
        "shards": "other shards",
        "generator": "another generator",
        "looks": "other looks",
        "perceptual": "another network of the perceptual loss",
    }
    status = _reworded(_status(wanted), lambda name: texts.get(name, "other initial weights"))
    if status.state == "current":
        return status
    try:
        part = wanted.part()
    except RecolorError:  # an earlier stage is missing
        return status
    kept = [run.name for run in list_runs(wanted.workspace) if run.record.key == part.key]
    if kept:
        return replace(status, reasons=(*status.reasons, f"nothing to train: the run {kept[0]} is taken"))
    done = _checkpoint_steps(checkpoint_folder(part, config))
    return replace(status, state="partly done", progress=Progress(done, steps, "steps")) if done else status


def _checkpoint_steps(folder: Path) -> int:
    """Returns the step of the newest checkpoint in a folder; 0 if there is none."""
    names = (re.fullmatch(r"(?:step|done)-(\d{8,})-[0-9a-f]{16}\.pt", path.name) for path in folder.glob("*.pt"))
    return max((int(name[1]) for name in names if name), default=0)


def _evaluate(context: _Context) -> StageStatus:
    workspace, config = context.workspace, context.config
    wanted = _Wanted(
        workspace,
        "evaluate",
        "evaluate",
        workspace.evaluation / FILES[0],
        EVALUATION_VERSION,
        evaluation_settings(config.evaluate),
        lambda: evaluation_part(workspace, config),
    )
    texts = {"generator": "another generator", "refiner": "another refiner"}
    status = _reworded(_status(wanted), lambda name: texts.get(name, f"other {name}"))
    shards = read_record(record_path(index_path(workspace)))
    if shards is None or shards.counts[config.evaluate.split]:
        return status
    empty = f"{_BLOCKED}no kept image is in the split {config.evaluate.split!r}"
    return replace(status, reasons=(empty,), progress=Progress(0, 0, "images"))


_STATUS_OF: Mapping[str, Callable[[_Context], StageStatus]] = MappingProxyType(
    {
        "index": _index,
        "measure": _measure,
        "detect": _detect,
        "select": _select,
        "shard": _shard,
        "train-generator": _train_generator,
        "train-refiner": _train_refiner,
        "evaluate": _evaluate,
    }
)


def _folder(workspace: Workspace) -> Path:
    """Returns the folder that was indexed last, or one that does not exist: unreadable images stay so."""
    try:
        return image_folder(workspace, None)
    except InputError:
        return workspace.internal / "no images"
