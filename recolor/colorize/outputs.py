"""Output files: checks, atomic writing, and removal of a killed run's temporary files."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from recolor.colorize.plan import Job
from recolor.errors import StorageError
from recolor.pipeline.inputs import STANDARD
from recolor.pipeline.storage import storage_errors, temporary_files, temporary_path, write_atomically


def write_output(target: Path, data: bytes) -> None:
    """Writes a file and creates its folder, or writes to standard output.

    Raises:
        OSError: It cannot be written.
    """
    if target == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)


def is_done(job: Job) -> bool:
    """Returns whether all output files of a job exist."""
    return job.target != STANDARD and all(path.exists() for path in job.outputs)


def check_writable(jobs: Sequence[Job]) -> None:
    """Checks that the output folders can be written to.

    Raises:
        StorageError: A folder cannot be written to.
    """
    for target in {job.target.parent: job.target for job in jobs if job.target != STANDARD}.values():
        there = next(folder for folder in target.absolute().parents if folder.is_dir())
        if not os.access(there, os.W_OK | os.X_OK):
            raise StorageError(f"{there}: this folder cannot be written to. Make it writable, or give another.")


def remove_stray(jobs: Sequence[Job]) -> None:
    """Removes the temporary files that a killed run left beside the outputs of these jobs."""
    outputs: dict[Path, list[Path]] = {}
    for path in (path for job in jobs if job.target != STANDARD for path in job.outputs):
        outputs.setdefault(path.parent, []).append(path)
    for folder, paths in outputs.items():
        if folder.is_dir():
            _remove_left(folder, paths)


def is_running(pid: int) -> bool:
    """Returns whether another process with this id is running and may be writing."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside the target, and removes the file at the end.

    It has the suffix of the target. Temporary files of this target that were left by ended processes are removed too.
    """
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(target.parent, [target])
    temporary = temporary_path(target, target.suffix)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _remove_left(folder: Path, outputs: Iterable[Path]) -> None:
    """Removes the temporary files of these outputs that ended processes left in a folder."""
    with suppress(OSError):  # a folder may be writable but not readable
        for path, pid in list(temporary_files(folder, outputs)):
            if not is_running(pid):
                path.unlink(missing_ok=True)
