"""Output files: checks, atomic writing, and removal of a killed run's temporary files."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from recolor.colorize.plan import STANDARD, Job
from recolor.errors import StorageError
from recolor.pipeline.storage import storage_errors, write_atomically

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.tmp", re.DOTALL)  # names that `write_atomically` uses


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
    names = {path for job in jobs if job.target != STANDARD for path in job.outputs}
    for folder in {path.parent for path in names}:
        if not folder.is_dir():
            continue
        for path in list(folder.iterdir()):
            found = _TEMPORARY.fullmatch(path.name)
            if found and folder / found["name"] in names and not is_running(int(found["pid"])):
                with suppress(OSError):
                    path.unlink()


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
        _remove_left(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp{target.suffix}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _remove_left(target: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.tmp{re.escape(target.suffix)}", re.DOTALL)
    for path in list(target.parent.iterdir()):
        if (found := pattern.fullmatch(path.name)) and not is_running(int(found[1])):
            with suppress(OSError):
                path.unlink()
