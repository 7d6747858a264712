"""The stage `index`: which image files there are. Nothing is opened, so that 90,000 files take a second or two."""

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
    """An image file: its path relative to the folder (posix), its size, its time of last change.

    `spelt_out`: the path is not UTF-8, and its odd bytes are spelt out.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    spelt_out: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """What a folder holds: image files by path, the number of other files, the folders that could not be read."""

    found: tuple[FoundFile, ...]
    other_files: int
    unreadable_folders: tuple[str, ...]


def index_images(workspace: Workspace, images: Path, config: Config) -> Outcome:
    """Writes `manifests/index.parquet`: path, size and time of every image file under a folder.

    Links to files and folders are followed, each real folder once, and by its own name if it has one here; hidden
    names and the workspace's own outputs are passed over. A file that cannot be opened is listed all the same:
    measuring gives the reason.

    Raises:
        InputError: The folder is missing, is no folder, cannot be read, or holds no image file.
    """
    scan = scan_folder(images, config.index, skip=workspace.own_folders)
    if not scan.found:
        raise InputError(_nothing_found(images, scan, config.index))
    for folder in scan.unreadable_folders:
        _log.warning("%s: this folder cannot be read; its images are left out.", folder)
    inputs = {"files": fingerprint([[file.path, file.size_bytes, file.mtime_ns] for file in scan.found])}
    part = Part(workspace, STAGE, VERSION, config.index, inputs, (workspace.manifest("index"),))
    return run_part(part, lambda staging: _write(scan, staging))


def scan_folder(images: Path, config: IndexConfig, skip: Sequence[Path] = ()) -> Scan:
    """Lists the image files under a folder, sorted by path.

    Args:
        images: The folder.
        config: Which suffixes are images.
        skip: Folders to leave out (where the workspace keeps its outputs).

    Raises:
        InputError: The folder is missing, is no folder, or cannot be read.
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
    """Sorted by path; of two files with one path stays the one that has this very name."""
    files: dict[str, FoundFile] = {}
    for file in sorted(found, key=lambda file: (file.path, file.spelt_out)):
        if files.setdefault(file.path, file) is not file:
            _log.warning("%s: another file has this name in bytes that are not UTF-8; it is left out.", file.path)
    return tuple(files.values())


def _walk(images: Path, skip: Sequence[Path], unreadable: list[str]) -> Iterator[os.DirEntry[str]]:
    """Yields every file; each real folder is entered once, so that a loop of links ends.

    Links to folders wait until all folders are done: a new link must not rename the images of a folder.
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
    except OSError:  # a link that leads round to itself
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _found_file(entry: os.DirEntry[str], images: Path) -> FoundFile | None:
    """The file's facts; a pipe, socket or device is none, a dangling link has size 0 and gets its reason later."""
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
    """The path as valid UTF-8. A name that is not gets its odd bytes spelt out, and is reported as unreadable."""
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
    return f"{images}: no image in this folder ({scan.other_files} other files). Files ending in {known} count."
