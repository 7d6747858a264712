"""Large files that are written in place under a temporary name, and moved to their own when they are whole."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recolor.colorize.outputs import is_running
from recolor.pipeline.storage import storage_errors, sync_folder


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """A name beside the target, of the same suffix, for a file that may be moved there; what is left of it is removed.

    So is what processes that are no more have left there.
    """
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp{target.suffix}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, target: Path) -> None:
    """Moves a finished file into its place so that a power cut leaves it whole or leaves what was there before."""
    with storage_errors(target):
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)


def _remove_left(target: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.tmp{re.escape(target.suffix)}", re.DOTALL)
    for path in list(target.parent.iterdir()):
        if (found := pattern.fullmatch(path.name)) and not is_running(int(found[1])):
            with suppress(OSError):
                path.unlink()
