"""Finished trainings, kept under `data/models/runs/<name>/`.

A run is the folder of a trained model: `generator/`, or `refiner/` beside the `generator/` that it was trained on, so
that `--model data/models/runs/<name>` loads it. `run.json` says which model it is of and when it was finished. A run is
complete before its model becomes the current one in `data/models/<model>/`, and no command changes it afterwards:
deleting runs is up to you (`rm -r`).
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Literal

from recolor.errors import ConfigError, DamagedError, InputError
from recolor.models.identity import CONFIG_FILE, MODEL_FILE, model_content
from recolor.pipeline.cache import (
    Record,
    outputs_present,
    read_record,
    record_path,
    restore,
    sha256_file,
    write_record,
)
from recolor.pipeline.storage import storage_errors, sync_folder
from recolor.pipeline.workspace import Workspace

ModelName = Literal["generator", "refiner"]

MODELS: tuple[ModelName, ...] = ("generator", "refiner")
_FACTS_FILE = "run.json"
_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training.

    Attributes:
        name: Name of its folder.
        model: `generator` or `refiner`.
        finished: When it was finished, with time zone.
        folder: `data/models/runs/<name>`.
        record: The record of the training: key, inputs and files.
    """

    name: str
    model: ModelName
    finished: datetime
    folder: Path
    record: Record

    @property
    def model_folder(self) -> Path:
        """Folder of the trained model's files."""
        return self.folder / self.model

    @property
    def size_bytes(self) -> int:
        """Size of all files of the run; files that another run shares (hard links) count in both."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def total_size_bytes(runs: Iterable[Run]) -> int:
    """Returns the size of all files of some runs; shared files (hard links) count once."""
    status = [file.stat() for run in runs for file in run.folder.rglob("*") if file.is_file()]
    return sum({(one.st_dev, one.st_ino): one.st_size for one in status}.values())


def runs_folder(workspace: Workspace) -> Path:
    """Returns the folder of the runs."""
    return workspace.models / "runs"


def check_name(workspace: Workspace, name: str) -> None:
    """Checks the name of a new run.

    Raises:
        ConfigError: It is not allowed, or there is a run of that name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"--name {name!r}: a run is named with at most 100 letters, digits, dots, dashes and underlines, beginning"
            " with a letter or a digit."
        )
    if os.path.lexists(runs_folder(workspace) / name):
        raise ConfigError(
            f"--name {name!r}: there is a run of that name, and no run is overwritten. Give another name, or see"
            " `recolor runs`."
        )


def list_runs(workspace: Workspace) -> list[Run]:
    """Returns all runs, oldest first."""
    runs = [run for file in runs_folder(workspace).glob(f"*/{_FACTS_FILE}") if (run := _read(file)) is not None]
    return sorted(runs, key=lambda run: (run.finished, run.name))


def find_run(workspace: Workspace, model: ModelName, key: str) -> Run | None:
    """Returns the run of a training, by its key; None if there is none, or if its files are damaged."""
    for run in list_runs(workspace):
        if (run.model, run.record.key) == (model, key):
            damaged = _damaged(run)
            if damaged is None:
                return run
            _log.warning("%s: missing or changed, so the run is not used", damaged)
    return None


def named_run(workspace: Workspace, name: str) -> Run:
    """Returns a run by its name.

    Raises:
        InputError: There is no such run; the message lists the runs.
    """
    runs = {run.name: run for run in list_runs(workspace)}
    if name not in runs:
        known = ", ".join(runs) or "none yet; a training makes one"
        raise InputError(f"{name!r}: there is no such run in {runs_folder(workspace)}. Runs: {known}.")
    return runs[name]


def current_record_of(workspace: Workspace, model: ModelName) -> Record | None:
    """Returns the record of the current model in `data/models/<model>/`; None if there is none, or it is damaged."""
    record = read_record(record_path(workspace.models / model / MODEL_FILE))
    return record if record is not None and outputs_present(workspace, record) else None


def is_current(run: Run, record: Record | None) -> bool:
    """Returns whether a run is the current model, whose record is given."""
    return record is not None and (record.key, record.content) == (run.record.key, run.record.content)


def keep_run(
    workspace: Workspace,
    model: ModelName,
    files: Path,
    record: Record,
    *,
    name: str = "",
    finished: datetime | None = None,
) -> str:
    """Keeps a finished training as a run and returns the run's name.

    The folder appears with all its files or not at all.

    Args:
        workspace: The workspace, which is locked.
        model: `generator` or `refiner`.
        files: Folder that holds the files of the record, under their names.
        record: The record of the training.
        name: Name of the run. Default: the date and the start of the key.
        finished: When it was finished, with time zone. Default: now.

    Raises:
        StorageError: The disk is full, read-only or failing.
    """
    finished = (finished or datetime.now(UTC)).replace(microsecond=0)
    target = runs_folder(workspace) / (name or _default_name(workspace, finished, record.key))
    with storage_errors(target):
        workspace.staging.mkdir(parents=True, exist_ok=True)
        staged = Path(mkdtemp(dir=workspace.staging))
        try:
            _fill(workspace, staged, model, files, record)
            facts = {"format": _FORMAT, "model": model, "finished": finished.isoformat()}
            (staged / _FACTS_FILE).write_text(json.dumps(facts) + "\n", encoding="ascii")
            _sync(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.chmod(0o777 & ~_umask(workspace.internal))
            staged.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return target.name


def keep_current(workspace: Workspace, model: ModelName) -> None:
    """Keeps the current model as a run, if there is one that no run holds, before another takes its place."""
    record = current_record_of(workspace, model)
    if record is not None and not any(is_current(run, record) for run in list_runs(workspace) if run.model == model):
        folder = workspace.models / model
        written = datetime.fromtimestamp(record_path(folder / MODEL_FILE).stat().st_mtime, UTC)
        name = keep_run(workspace, model, folder, record, finished=written)
        _log.info("%s: kept the model before as the run %s", model, name)


def promote(workspace: Workspace, run: Run) -> None:
    """Makes a run the current model: copies its files into `data/models/<model>/`, with their record.

    The current model is kept as a run first, if none holds it.

    Args:
        workspace: The workspace, which is locked.
        run: The run.

    Raises:
        DamagedError: A file of the run is missing or has changed; the current model stays as it is.
        StorageError: The disk is full, read-only or failing.
    """
    keep_current(workspace, run.model)
    damaged = _damaged(run)
    if damaged is not None:
        raise DamagedError(
            f"{damaged}: missing or changed since the training, so {run.name} cannot become the current {run.model}."
            f" Delete {run.folder} and train again."
        )
    restore(workspace, run.record, run.model_folder)


def _default_name(workspace: Workspace, finished: datetime, key: str) -> str:
    name = f"{finished.astimezone():%Y-%m-%d}-{key[:8]}"
    taken = runs_folder(workspace)
    if not os.path.lexists(taken / name):
        return name
    return next(f"{name}-{at}" for at in range(2, 10_000) if not os.path.lexists(taken / f"{name}-{at}"))


def _fill(workspace: Workspace, staged: Path, model: ModelName, files: Path, record: Record) -> None:
    _store(workspace, staged / model, files, record, [PurePosixPath(output.path).name for output in record.outputs])
    write_record(record_path(staged / model / MODEL_FILE), record)
    generator = current_record_of(workspace, "generator")
    if model == "refiner" and generator is not None and model_content(generator) == record.inputs.get("generator"):
        _store(workspace, staged / "generator", workspace.models / "generator", generator, (MODEL_FILE, CONFIG_FILE))


def _store(workspace: Workspace, folder: Path, files: Path, record: Record, names: tuple[str, ...] | list[str]) -> None:
    """Copies files into a folder of a run; links those that another run has."""
    folder.mkdir()
    sha256 = {PurePosixPath(output.path).name: output.sha256 for output in record.outputs}
    stored = {
        (PurePosixPath(output.path).name, output.sha256): run.model_folder / PurePosixPath(output.path).name
        for run in list_runs(workspace)
        for output in run.record.outputs
    }
    for name in names:
        twin = stored.get((name, sha256[name]))
        if twin is None or not _linked(twin, folder / name, sha256[name]):
            shutil.copyfile(files / name, folder / name)


def _linked(twin: Path, file: Path, sha256: str) -> bool:
    """Links a file of another run, if its bytes are right and the file system allows it; returns whether it did."""
    try:
        if sha256_file(twin) != sha256:
            return False
        file.hardlink_to(twin)
    except OSError:
        return False
    return True


def _damaged(run: Run) -> Path | None:
    """Returns a file of the trained model whose bytes are not those of the training."""
    for output in run.record.outputs:
        file = run.model_folder / PurePosixPath(output.path).name
        if not file.is_file() or sha256_file(file) != output.sha256:
            return file
    return None


def _read(file: Path) -> Run | None:
    try:
        facts = json.loads(file.read_text(encoding="ascii"))
        model, finished = facts["model"], datetime.fromisoformat(facts["finished"])
        known = facts["format"] == _FORMAT and model in MODELS and finished.tzinfo is not None
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    record = read_record(record_path(file.parent / model / MODEL_FILE)) if known else None
    if record is None:
        _log.warning("%s: not a run that this version can read; skipped", file.parent)
        return None
    return Run(file.parent.name, model, finished, file.parent, record)


def _sync(folder: Path) -> None:
    for path in _tree(folder):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _tree(folder: Path) -> Iterator[Path]:
    yield from folder.rglob("*")
    yield folder


def _umask(folder: Path) -> int:
    """Returns the bits that new folders lack here, from the mode of a folder that was made as usual."""
    return 0o777 & ~folder.stat().st_mode
