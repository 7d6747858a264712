"""Atomic writing of files, and errors of the disk as messages that say what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recolor.errors import StorageError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file atomically.

    Readers, even after a crash, see either the old bytes or the new ones.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        replace_atomically(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_atomically(temporary: Path, path: Path) -> None:
    """Flushes a finished file to the disk and renames it to `path`.

    After a crash, `path` is either the old file or the new one.
    """
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns errors of a full, read-only or failing disk into a `StorageError`.

    The message says what to do.

    Raises:
        StorageError: Such an error was raised inside the context.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0)
        if advice is None:
            raise
        raise StorageError(f"{path}: {error.strerror}. {advice} Finished parts are kept; run again.") from error


_ADVICE = {
    errno.ENOSPC: "Free some space on that disk.",
    errno.EDQUOT: "The disk quota is used up.",
    errno.EROFS: "The file system is read-only.",
    errno.EACCES: "Permission was refused: make the workspace writable.",
    errno.EPERM: "Permission was refused: make the workspace writable.",
    errno.EIO: "The disk failed to read or write.",
}


def sync_folder(path: Path) -> None:
    """Flushes a folder's entries to disk, so that a rename in it survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
