"""Where coloured photographs go: what is there, what a killed run has left, and writing whole or not at all."""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from recolor.colorize.plan import STANDARD, Job
from recolor.errors import StorageError
from recolor.pipeline.storage import write_atomically

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.tmp", re.DOTALL)  # as `write_atomically` names them


def deliver(target: Path, data: bytes) -> None:
    """Writes a file, and its folder; or to standard output.

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
    """Whether everything that a photograph becomes is there."""
    return job.target != STANDARD and all(path.exists() for path in job.outputs)


def check_writable(jobs: Sequence[Job]) -> None:
    """Stops before hours of work that could not be kept.

    Raises:
        StorageError: Nothing can be written where the outputs go.
    """
    for target in {job.target.parent: job.target for job in jobs if job.target != STANDARD}.values():
        there = next(folder for folder in target.absolute().parents if folder.is_dir())
        if not os.access(there, os.W_OK | os.X_OK):
            raise StorageError(f"{there}: nothing can be written to this folder. Make it writable, or give another.")


def remove_stray(jobs: Sequence[Job]) -> None:
    """Removes what a run that was killed has left under temporary names, beside what this one writes."""
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
    """Whether another process has this number: it may be writing."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
