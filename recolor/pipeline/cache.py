"""What is done stays done: keys, records, atomic publishing.

A part's key is the SHA-256 of the canonical JSON of its stage's version, its own settings and its inputs' content.
A part is done if its record carries that key and its outputs are there as they were written. Outputs are built
in a staging folder of the same file system, flushed, hashed and renamed; the record follows, the same way, last.
Killed at any instant, a part is either wholly done or will be redone, and no reader meets half a file.
"""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from recolor.errors import DamagedError, FingerprintError, MissingStageError, OutOfMemoryError
from recolor.pipeline.storage import storage_errors, sync_folder, write_atomically
from recolor.pipeline.workspace import Workspace

RECORD_SUFFIX = ".record.json"
_HASH_BLOCK_BYTES = 1 << 20

Counts = Mapping[str, int]
Build = Callable[[Path], Counts]


@dataclass(frozen=True, slots=True)
class Output:
    """One file of a part: its path relative to the workspace (posix), its SHA-256, its size, when it was written."""

    path: str
    sha256: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a finished part leaves beside its outputs.

    Attributes:
        stage: The stage's name.
        version: The stage's version; raised when the same input would give another output.
        key: Fingerprint of version, settings and inputs.
        inputs: Name and content fingerprint of each input.
        outputs: The files written, in a fixed order.
        counts: What was counted on the way, such as `images`.
        seconds_s: Wall time of the part.
    """

    stage: str
    version: int
    key: str
    inputs: Mapping[str, str]
    outputs: tuple[Output, ...]
    counts: Counts
    seconds_s: float

    @property
    def content(self) -> str:
        """Fingerprint of what the outputs hold: the input fingerprint of the stages that follow."""
        return fingerprint([output.sha256 for output in self.outputs])


@dataclass(frozen=True, slots=True)
class Part:
    """One unit of work: what it is keyed by, and the files that it makes.

    Attributes:
        workspace: Where everything lives.
        stage: The stage's name.
        version: The stage's version.
        settings: The stage's own frozen config, or what else its result depends on.
        inputs: Name and content fingerprint of each input.
        outputs: Where the files go, inside the workspace; the record stands beside the first.
        sources: Where those of the inputs are that earlier stages have made, by their names. They must be as their
            records say when the work is done too: else it may have read something else than its key says.
    """

    workspace: Workspace
    stage: str
    version: int
    settings: object
    inputs: Mapping[str, str]
    outputs: tuple[Path, ...]
    sources: Mapping[str, Path] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The part's key, as 64 hexadecimal digits."""
        return stage_key(self.stage, self.version, self.settings, self.inputs)

    @property
    def record_path(self) -> Path:
        """Where the record goes: beside the first output."""
        return record_path(self.outputs[0])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage did: how many parts it built, how many it found done, and what it counted."""

    stage: str
    built: int
    reused: int
    counts: Counts
    seconds_s: float

    @property
    def current(self) -> bool:
        """Whether nothing had to be done."""
        return self.built == 0


def fingerprint(value: object) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of `value`.

    Equal values have equal fingerprints in every process and on every machine. Dataclasses count by class name and
    fields, paths are refused (name content, not places), and so is anything else without stable bytes.

    Raises:
        FingerprintError: Some part of the value has no stable bytes.
    """
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def stage_key(stage: str, version: int, settings: object, inputs: Mapping[str, str]) -> str:
    """The key of a part: its stage and version, its own settings, the fingerprints of its inputs."""
    return fingerprint({"stage": stage, "version": version, "settings": settings, "inputs": inputs})


def _canonical(value: object) -> Any:
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {item.name: _canonical(getattr(value, item.name)) for item in fields(value)}}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _canonical(item) for key, item in value.items()}
    raise FingerprintError(f"{type(value).__name__} has no stable bytes and cannot be part of a key: {value!r}")


def run_part(part: Part, build: Build) -> Outcome:
    """Makes the part's outputs, unless they are there already.

    Args:
        part: What to make.
        build: Writes every output, under its own file name, into the folder it is given, and returns counts.

    Raises:
        StorageError: The disk is full, read-only or failing; nothing half-written was left.
        DamagedError: A source was changed in the meantime; names it, and nothing was written.
        OutOfMemoryError: There is not enough memory to make it.
    """
    if (record := current_record(part)) is not None:
        return Outcome(part.stage, 0, 1, record.counts, record.seconds_s)
    started = time.monotonic()
    with storage_errors(part.outputs[0]), _memory_errors(part), _staging(part.workspace) as staging:
        counts = build(staging)
        _check_sources(part)
        record = _publish(part, staging, counts, started)
    return Outcome(part.stage, 1, 0, record.counts, record.seconds_s)


def current_record(part: Part) -> Record | None:
    """The part's record if the part is done: the key matches and every output has its recorded size."""
    record = read_record(part.record_path)
    if record is None or record.key != part.key or not outputs_present(part.workspace, record):
        return None
    return record


def outputs_present(workspace: Workspace, record: Record) -> bool:
    """Whether every output of the record is there as it was written.

    A file of the recorded size and time is trusted; one of another time is hashed. `verify` hashes all.
    """
    return all(_is_as_written(workspace.root / output.path, output) for output in record.outputs)


def verify(workspace: Workspace, record: Record) -> None:
    """Hashes every output of the record again.

    Raises:
        DamagedError: An output is missing or its bytes have changed; names it.
    """
    for output in record.outputs:
        path = workspace.root / output.path
        if not path.is_file():
            raise DamagedError(f"{path}: missing. Run the stage `{record.stage}` again to rebuild it.")
        if sha256_file(path) != output.sha256:
            raise DamagedError(f"{path}: its bytes have changed. Delete it and run `{record.stage}` to rebuild it.")


def record_path(output: Path) -> Path:
    """Where the record of an output stands: beside it."""
    return output.with_name(output.name + RECORD_SUFFIX)


def read_record(path: Path) -> Record | None:
    """Reads a record; None if there is none or it is not one (then the part counts as not done)."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        outputs = tuple(Output(**output) for output in data.pop("outputs"))
        return Record(**data, outputs=outputs)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def require_record(output: Path, stage: str) -> Record:
    """The record of an output that an earlier stage must have made, all of whose outputs are as they were written.

    Raises:
        MissingStageError: One is not there, or was changed; names the stage to run.
    """
    record = read_record(record_path(output))
    if record is None or not output.is_file():
        raise MissingStageError(f"{output}: not there yet, or not finished. Run `recolor {stage}` first.")
    root = _root(record, output)
    for entry in record.outputs:
        if not _is_as_written(root / entry.path, entry):
            raise MissingStageError(
                f"{root / entry.path}: missing, or changed since it was written. Run `recolor {stage}` to rebuild it."
            )
    return record


def still_stands(record: Record, output: Path) -> bool:
    """Whether this very record, read earlier, is still beside its first output, and all of its outputs as it says."""
    root = _root(record, output)
    if read_record(record_path(output)) != record:
        return False
    return all(_is_as_written(root / entry.path, entry) for entry in record.outputs)


def _root(record: Record, output: Path) -> Path:
    """The workspace: what the path of an output has beyond what its record says."""
    return output.parents[len(Path(record.outputs[0].path).parts) - 1]


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _staging(workspace: Workspace) -> Iterator[Path]:
    workspace.staging.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=workspace.staging))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _memory_errors(part: Part) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{part.outputs[0]}: there is not enough memory to make it. Free some, or lower execution.workers. What was"
            " finished is kept; run again."
        ) from error


def _check_sources(part: Part) -> None:
    for name, path in part.sources.items():
        record = read_record(record_path(path))
        if record is None or record.content != part.inputs[name] or not outputs_present(part.workspace, record):
            raise DamagedError(
                f"{path}: changed while the stage `{part.stage}` was reading it, whose result was not kept. Let nothing"
                " else write there, and run again from the stage that makes it."
            )


def _publish(part: Part, staging: Path, counts: Counts, started: float) -> Record:
    """Renames the outputs into place between the removal of the old record and the writing of the new."""
    outputs = []
    for path in part.outputs:
        staged = staging / path.name
        _sync_file(staged)
        relative = path.relative_to(part.workspace.root).as_posix()
        status = staged.stat()
        outputs.append(Output(relative, sha256_file(staged), status.st_size, status.st_mtime_ns))
    part.record_path.parent.mkdir(parents=True, exist_ok=True)
    part.record_path.unlink(missing_ok=True)
    for path in part.outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        (staging / path.name).replace(path)
    sync_folder(part.record_path.parent)
    seconds_s = round(time.monotonic() - started, 3)
    record = Record(part.stage, part.version, part.key, dict(part.inputs), tuple(outputs), dict(counts), seconds_s)
    write_atomically(part.record_path, json.dumps(asdict(record), indent=1, sort_keys=True).encode())
    return record


def _is_as_written(path: Path, output: Output) -> bool:
    try:
        status = path.stat()
        if status.st_size != output.size_bytes:
            return False
        if status.st_mtime_ns == output.mtime_ns:
            return True
        if sha256_file(path) != output.sha256:
            return False
    except OSError:
        return False
    with suppress(OSError):  # a copied workspace is hashed once, if it may be written to
        os.utime(path, ns=(status.st_atime_ns, output.mtime_ns))
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
