"""The cache of finished work: keys, records, atomic publishing.

A part's key is the SHA-256 of the canonical JSON of its stage's version, its own settings and its inputs' content.
A part is done if its record has that key and lists its outputs, and these are unchanged since they were written.
Outputs are built in a staging folder on the same file system, flushed, hashed and renamed into place; the record is
written last, in the same way. A part that is killed at any moment is either done or will be redone, and no reader sees
half a file.
"""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
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
Keep = Callable[[Path, "Record"], None]


@dataclass(frozen=True, slots=True)
class Output:
    """One file of a part: relative path (posix), SHA-256, size, modification time.

    The path is relative to the workspace.
    """

    path: str
    sha256: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a finished part, stored beside its outputs.

    Attributes:
        stage: Name of the stage.
        version: Version of the stage; raised when the same input would give another output.
        key: Fingerprint of version, settings and inputs.
        inputs: Name and content fingerprint of each input.
        outputs: The files written, in a fixed order.
        counts: Numbers for the user, such as `images`.
        seconds_s: Wall time of the part.
        settings: The settings in the key, by dotted name, to tell which of them has changed. None in records that were
            written before they were stored.
    """

    stage: str
    version: int
    key: str
    inputs: Mapping[str, str]
    outputs: tuple[Output, ...]
    counts: Counts
    seconds_s: float
    settings: Mapping[str, Any] | None = None

    @property
    def content(self) -> str:
        """Fingerprint of the outputs' content.

        Later stages use it as the fingerprint of their input.
        """
        return fingerprint([output.sha256 for output in self.outputs])


_RECORD_FIELDS = {item.name for item in fields(Record)}


@dataclass(frozen=True, slots=True)
class Part:
    """One unit of cached work: everything its key depends on, and the files that it makes.

    Attributes:
        workspace: The workspace.
        stage: Name of the stage.
        version: Version of the stage.
        settings: The stage's own frozen config, or whatever else its result depends on.
        inputs: Name and content fingerprint of each input.
        outputs: Paths of the files, inside the workspace; the record is stored beside the first.
        sources: Paths of the inputs that earlier stages have made, by name. They are checked again when the work is
            done: a source that changed meanwhile may have been read in a state that does not match the key.
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
        """Path of the record, beside the first output."""
        return record_path(self.outputs[0])


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a stage.

    Attributes:
        stage: Name of the stage.
        built: Number of parts that were built.
        reused: Number of parts that were done already.
        counts: Numbers for the user, such as `images`.
        seconds_s: Seconds of work.
        note: What else the user should know, in a few words; empty if nothing.
    """

    stage: str
    built: int
    reused: int
    counts: Counts
    seconds_s: float
    note: str = ""

    @property
    def current(self) -> bool:
        """Whether nothing had to be done."""
        return self.built == 0


def fingerprint(value: object) -> str:
    """Returns the SHA-256, in hexadecimal, of the canonical JSON of `value`.

    Equal values have equal fingerprints in every process and on every machine. A dataclass is represented by its class
    name and fields. Paths are refused, because a key must depend on content and not on places.

    Raises:
        FingerprintError: The value holds an object that cannot be hashed reproducibly.
    """
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def stage_key(stage: str, version: int, settings: object, inputs: Mapping[str, str]) -> str:
    """Returns the key of a part, from stage, version, settings and input fingerprints."""
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
    raise FingerprintError(f"a {type(value).__name__} cannot be part of a cache key: {value!r}")


def named_settings(settings: object) -> dict[str, Any]:
    """Returns the settings in a key by dotted name, as JSON has them; what is no dataclass is one setting."""
    if not is_dataclass(settings) or isinstance(settings, type):
        return {"settings": _canonical(settings)}
    found: dict[str, Any] = {}
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            found |= {f"{item.name}.{name}": inner for name, inner in named_settings(value).items()}
        else:
            found[item.name] = _canonical(value)
    return found


def run_part(part: Part, build: Build, keep: Keep | None = None) -> Outcome:
    """Builds the part's outputs and its record, unless the part is done already.

    Args:
        part: The part.
        build: Writes every output, under its own file name, into the folder it is given, and returns counts.
        keep: Called with that folder and the record, before the outputs take the place of earlier ones.

    Raises:
        StorageError: The disk is full, read-only or failing; no incomplete file is left.
        DamagedError: A source changed meanwhile; the message names it, and nothing was written.
        OutOfMemoryError: There is not enough memory for the part.
    """
    if (record := current_record(part)) is not None:
        return Outcome(part.stage, 0, 1, record.counts, record.seconds_s)
    started = time.monotonic()
    with storage_errors(part.outputs[0]), _memory_errors(part), _staging(part.workspace) as staging:
        counts = build(staging)
        _check_sources(part)
        record = _staged_record(part, staging, counts, started)
        if keep is not None:
            keep(staging, record)
        _publish(part.workspace, record, staging)
    return Outcome(part.stage, 1, 0, record.counts, record.seconds_s)


def current_record(part: Part) -> Record | None:
    """Returns the part's record if the part is done, else None.

    A part is done if its key matches and every output is as it was written. An older version may have written fewer
    outputs.
    """
    record = read_record(part.record_path)
    if record is None or record.key != part.key or not outputs_present(part.workspace, record):
        return None
    written = {part.workspace.root / output.path for output in record.outputs}
    return record if written.issuperset(part.outputs) else None


def outputs_present(workspace: Workspace, record: Record) -> bool:
    """Returns whether every output of the record is unchanged since it was written.

    A file with the recorded size and modification time is trusted; a file with another time is hashed. `verify` hashes
    every file.
    """
    return all(_is_as_written(workspace.root / output.path, output) for output in record.outputs)


def changed_outputs(workspace: Workspace, record: Record) -> list[Output]:
    """Returns the outputs of the record that are missing, or changed since they were written."""
    return [output for output in record.outputs if not _is_as_written(workspace.root / output.path, output)]


def verify(workspace: Workspace, record: Record) -> None:
    """Hashes every output of the record again.

    Raises:
        DamagedError: An output is missing or its bytes have changed; the message names it.
    """
    for output in record.outputs:
        path = workspace.root / output.path
        if not path.is_file():
            raise DamagedError(f"{path}: missing. Run the stage `{record.stage}` again to rebuild it.")
        if sha256_file(path) != output.sha256:
            raise DamagedError(f"{path}: its bytes have changed. Delete it and run `{record.stage}` to rebuild it.")


def record_path(output: Path) -> Path:
    """Returns the path of an output's record, beside the output."""
    return output.with_name(output.name + RECORD_SUFFIX)


def read_record(path: Path) -> Record | None:
    """Returns the record stored in a file; None if the file is missing or malformed.

    Without a record the part counts as not done.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        outputs = tuple(Output(**output) for output in data.pop("outputs"))
        known = {name: value for name, value in data.items() if name in _RECORD_FIELDS}  # later versions may add some
        return Record(**known, outputs=outputs)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def require_record(output: Path, stage: str) -> Record:
    """Returns the record of an earlier stage's output, after checking all its outputs.

    Every output of the record must be unchanged since it was written.

    Raises:
        MissingStageError: An output is missing or has changed; the message names the stage to run.
    """
    record = read_record(record_path(output))
    if record is None or not output.is_file():
        raise MissingStageError(f"{output}: missing or not finished. Run `recolor {stage}` first.")
    root = _root(record, output)
    for entry in record.outputs:
        if not _is_as_written(root / entry.path, entry):
            raise MissingStageError(
                f"{root / entry.path}: missing, or changed since it was written. Run `recolor {stage}` to rebuild it."
            )
    return record


def is_unchanged(record: Record, output: Path) -> bool:
    """Returns whether a record read earlier still exists, and its outputs are unchanged."""
    root = _root(record, output)
    if read_record(record_path(output)) != record:
        return False
    return all(_is_as_written(root / entry.path, entry) for entry in record.outputs)


def _root(record: Record, output: Path) -> Path:
    """Returns the workspace: an output's path without the relative path in its record."""
    return output.parents[len(Path(record.outputs[0].path).parts) - 1]


def sha256_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal; reads blocks of 1 MiB."""
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
            f"{part.outputs[0]}: not enough memory to make this file. Free some memory, or lower execution.workers."
            " Finished parts are kept; run again."
        ) from error


def _check_sources(part: Part) -> None:
    for name, path in part.sources.items():
        record = read_record(record_path(path))
        if record is None or record.content != part.inputs[name] or not outputs_present(part.workspace, record):
            raise DamagedError(
                f"{path}: changed while the stage `{part.stage}` was reading it, so its result was not kept. Let"
                " nothing else write there, and run again from the stage that makes this file."
            )


def _staged_record(part: Part, staging: Path, counts: Counts, started: float) -> Record:
    """Flushes and hashes the outputs in the staging folder and returns their record."""
    outputs = []
    for path in part.outputs:
        staged = staging / path.name
        _sync_file(staged)
        relative = path.relative_to(part.workspace.root).as_posix()
        status = staged.stat()
        outputs.append(Output(relative, sha256_file(staged), status.st_size, status.st_mtime_ns))
    seconds_s = round(time.monotonic() - started, 3)
    return Record(
        stage=part.stage,
        version=part.version,
        key=part.key,
        inputs=dict(part.inputs),
        outputs=tuple(outputs),
        counts=dict(counts),
        seconds_s=seconds_s,
        settings=named_settings(part.settings),
    )


def _publish(workspace: Workspace, record: Record, staging: Path) -> None:
    """Removes the old record, renames the outputs into place and writes the new record."""
    paths = [workspace.root / output.path for output in record.outputs]
    target = record_path(paths[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        (staging / path.name).replace(path)
    sync_folder(target.parent)
    write_record(target, record)


def write_record(path: Path, record: Record) -> None:
    """Writes a record atomically."""
    write_atomically(path, json.dumps(asdict(record), indent=1, sort_keys=True).encode())


def restore(workspace: Workspace, record: Record, folder: Path) -> None:
    """Publishes copies of a part's outputs, which were kept in another folder, with their record.

    Args:
        workspace: The workspace.
        record: The record of the part.
        folder: Folder that holds its outputs, under their file names.

    Raises:
        DamagedError: A file is not what the record says; nothing was published.
        StorageError: The disk is full, read-only or failing.
    """
    with storage_errors(workspace.root / record.outputs[0].path), _staging(workspace) as staging:
        outputs = []
        for output in record.outputs:
            staged = staging / Path(output.path).name
            shutil.copyfile(folder / staged.name, staged)
            _sync_file(staged)
            if sha256_file(staged) != output.sha256:
                raise DamagedError(f"{folder / staged.name}: its bytes have changed, so it was not used.")
            outputs.append(replace(output, mtime_ns=staged.stat().st_mtime_ns))
        _publish(workspace, replace(record, outputs=tuple(outputs)), staging)


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
    with suppress(OSError):  # a copied workspace is hashed only once, if it is writable
        os.utime(path, ns=(status.st_atime_ns, output.mtime_ns))
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
