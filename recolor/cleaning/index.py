"""The stage `index`: lists the image files of a folder.

It opens no file, so 90,000 files take about two seconds.
"""

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from recolor.config.settings import Config, IndexConfig
from recolor.errors import InputError
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import INDEX
from recolor.pipeline.cache import Outcome, Part, fingerprint, run_part
from recolor.pipeline.workspace import Workspace

STAGE = "index"
VERSION = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An image file.

    Attributes:
        path: Path relative to the folder, with forward slashes.
        size_bytes: File size.
        mtime_ns: Modification time in nanoseconds since 1970.
        escaped: Whether the file's name is not UTF-8, so that its invalid bytes are escaped in `path`.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    escaped: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """Image files sorted by path, number of other files, and unreadable folders."""

    found: tuple[FoundFile, ...]
    other_files: int
    unreadable_folders: tuple[str, ...]


def index_images(workspace: Workspace, images: Path, config: Config) -> Outcome:
    """Writes `manifests/index.parquet`: path, size and time of every image file under a folder.

    Links to files and folders are followed. Each real folder is listed once, under its own name if it lies in the
    folder. Hidden names and the workspace's own outputs are skipped. Files that cannot be opened are listed too; the
    stage `measure` records the reason.

    Raises:
        InputError: The folder does not exist, is not a folder, cannot be read, or contains no image file.
    """
    scan = scan_folder(images, config.index, skip=workspace.own_folders)
    if not scan.found:
        raise InputError(_nothing_found(images, scan, config.index))
    for folder in scan.unreadable_folders:
        _log.warning("%s: this folder cannot be read; its images are skipped.", folder)
    inputs = {"files": fingerprint([[file.path, file.size_bytes, file.mtime_ns] for file in scan.found])}
    part = Part(workspace, STAGE, VERSION, config.index, inputs, (workspace.manifest("index"),))
    return run_part(part, lambda staging: _write(scan, staging))


def scan_folder(images: Path, config: IndexConfig, skip: Sequence[Path] = ()) -> Scan:
    """Lists the image files under a folder, sorted by path.

    Args:
        images: The folder.
        config: The file name suffixes of images.
        skip: Folders to skip, such as the outputs of the workspace.

    Raises:
        InputError: The folder does not exist, is not a folder, or cannot be read.
    """
    try:
        os.scandir(images).close()
    except FileNotFoundError as error:
        raise InputError(f"{images}: there is no such folder. Give the folder of photographs with --images.") from error
    except OSError as error:
        raise InputError(f"{images}: cannot be read as a folder ({error.strerror}).") from error
    unreadable: list[str] = []
    found: list[FoundFile] = []
    other_files = 0
    for entry in _walk(images, skip, unreadable):
        if not entry.name.lower().endswith(config.suffixes):
            other_files += 1
        elif (file := _found_file(entry, images)) is not None:
            found.append(file)
    return Scan(_unique(found), other_files, tuple(unreadable))


def _unique(found: list[FoundFile]) -> tuple[FoundFile, ...]:
    """Returns the files sorted by path, without duplicates.

    Of two files with equal paths, the one without escaped bytes is kept.
    """
    files: dict[str, FoundFile] = {}
    for file in sorted(found, key=lambda file: (file.path, file.escaped)):
        if files.setdefault(file.path, file) is not file:
            _log.warning("%s: skipped a second file whose name, which is not UTF-8, gives the same path.", file.path)
    return tuple(files.values())


def _walk(images: Path, skip: Sequence[Path], unreadable: list[str]) -> Iterator[os.DirEntry[str]]:
    """Yields every file. Each real folder is entered once, so loops of links end.

    Links to folders are followed after all folders, so that a new link does not change the paths of known images.
    """
    entered = {_identity(folder) for folder in skip if folder.exists()}
    waiting = deque([str(images)])
    while waiting:
        folder = waiting.pop()
        try:
            identity = _identity(Path(folder))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            unreadable.append(folder)
            continue
        if identity in entered:
            continue
        entered.add(identity)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (waiting.appendleft if entry.is_symlink() else waiting.append)(entry.path)
            else:
                yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _found_file(entry: os.DirEntry[str], images: Path) -> FoundFile | None:
    """Returns the file, or None for a pipe, socket or device. A dangling link has size 0."""
    relative = Path(entry.path).relative_to(images).as_posix()
    path = _utf8(relative)
    try:
        status = entry.stat()
    except OSError:
        return FoundFile(path, 0, 0, path != relative)
    if not entry.is_file():
        return None
    return FoundFile(path, status.st_size, status.st_mtime_ns, path != relative)


def _utf8(path: str) -> str:
    """Returns the path as valid UTF-8, with invalid bytes escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _write(scan: Scan, staging: Path) -> dict[str, int]:
    columns = {
        "path": pa.array([file.path for file in scan.found], pa.string()),
        "size_bytes": pa.array([file.size_bytes for file in scan.found], pa.int64()),
        "mtime_ns": pa.array([file.mtime_ns for file in scan.found], pa.int64()),
    }
    write_manifest(INDEX, pa.table(columns), staging / "index.parquet")
    return {"images": len(scan.found), "other_files": scan.other_files}


def _nothing_found(images: Path, scan: Scan, config: IndexConfig) -> str:
    known = ", ".join(config.suffixes)
    return f"{images}: no image in this folder ({scan.other_files} other files). Images are files ending in {known}."
