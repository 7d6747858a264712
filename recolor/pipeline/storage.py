"""Writing files that survive a crash, and saying what to do when the disk is full or cannot be written to."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recolor.errors import StorageError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that a reader, or a crash, meets the old bytes or the new, never a mixture."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns a full or read-only disk into a `StorageError` that says what to do.

    Raises:
        StorageError: The block met such an error.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0)
        if advice is None:
            raise
        raise StorageError(f"{path}: {error.strerror}. {advice} What was finished is kept; run again.") from error


_ADVICE = {
    errno.ENOSPC: "Free some space on that disk.",
    errno.EDQUOT: "The disk quota is used up.",
    errno.EROFS: "The file system is read-only.",
    errno.EACCES: "Permission was refused: make the workspace writable.",
    errno.EPERM: "Permission was refused: make the workspace writable.",
    errno.EIO: "The disk failed to read or write.",
}


def sync_folder(path: Path) -> None:
    """Flushes a folder's entries, so that a rename in it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
