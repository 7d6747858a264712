"""Atomic writing of files, and errors of the disk as messages that say what to do."""

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from recolor.errors import StorageError

_TEMPORARY = re.compile(r"(?P<stem>\.recolor-[0-9a-f]{16})\.(?P<pid>\d+)\.tmp(\..*)?", re.DOTALL)


def temporary_path(path: Path, suffix: str = "") -> Path:
    """Returns the path beside a file under which this process writes it, until it is renamed.

    The name is short however long the final name is, so that a name of 255 bytes, the most that file systems allow,
    can be written. It holds a hash of the final name and the process id: another process, or a later run, can tell
    whose it is.

    Args:
        path: The final path.
        suffix: Ending of the name, for programs that choose a format by it.
    """
    return path.with_name(f"{_temporary_stem(path)}.{os.getpid()}.tmp{suffix}")


def unfinished_folder(path: Path) -> Path:
    """Returns the folder beside a file for its finished parts, which later runs go on with; its name is hidden."""
    return path.with_name(f"{_temporary_stem(path)}.parts")


def temporary_files(folder: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Yields the temporary files in a folder that belong to some of its files, with the id of their process.

    Args:
        folder: The folder; it is listed once.
        paths: Final paths of the files.
    """
    stems = {_temporary_stem(path) for path in paths}
    for path in folder.iterdir():
        found = _TEMPORARY.fullmatch(path.name)
        if found and found["stem"] in stems:
            yield path, int(found["pid"])


def _temporary_stem(path: Path) -> str:
    return f".recolor-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}"


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file atomically: readers, even after a crash, see either the old bytes or the new ones."""
    temporary = temporary_path(path)
    try:
        temporary.write_bytes(data)
        replace_atomically(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_output(path: Path, data: bytes) -> None:
    """Writes a file that the user named atomically, and makes its folder if it does not exist.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}). Give the path of another file.") from error


def replace_atomically(temporary: Path, path: Path) -> None:
    """Flushes a finished file to the disk and renames it to `path`.

    After a crash, `path` is either the old file or the new one.
    """
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def fitting_name(stem: str, suffix: str) -> str:
    """Returns a file name of at most 255 bytes, the most that file systems allow; a longer stem is cut.

    A cut stem ends in a hash of the whole name, so that different names stay different.
    """
    name = stem + suffix
    if len(os.fsencode(name)) <= _MAX_NAME_BYTES:
        return name
    end = f"~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{suffix}"
    cut = os.fsencode(stem)[: _MAX_NAME_BYTES - len(os.fsencode(end))]
    whole = cut.decode("utf-8", "ignore").encode("utf-8")  # without the half of a character
    return os.fsdecode(whole) + end


_MAX_NAME_BYTES = 255


def keeps_apart(folder: Path, first: PurePath, second: PurePath) -> bool:
    """Returns whether two relative paths are two files in a folder, by creating both in a temporary folder there.

    Some file systems take `a.jpg` and `A.jpg`, or a composed and a decomposed `é`, for the same name.

    Raises:
        OSError: The folder cannot be created or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".recolor-", suffix=".tmp", dir=folder) as trial:
        for path in (first, second):
            file = Path(trial) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                file.open("xb").close()
            except FileExistsError:
                return False
    return True


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


def is_disk_error(error: OSError) -> bool:
    """Returns whether an error concerns the disk, as `storage_errors` reports it, and not the name of one file."""
    return error.errno in _ADVICE


def sync_folder(path: Path) -> None:
    """Flushes a folder's entries to disk, so that a rename in it survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
