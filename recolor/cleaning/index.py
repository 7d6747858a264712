"""The stage `index`: lists the image files of a folder.

It opens no file but those that are called like comparisons, so 90,000 files take about two seconds.
"""

import fnmatch
import logging
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from recolor.cleaning.passed_over import COMPARISON_SUFFIX, PassedOver, is_comparison
from recolor.config.settings import Config, IndexConfig
from recolor.errors import InputError
from recolor.manifests.io import write_manifest
from recolor.manifests.names import encode_path, shown
from recolor.manifests.schemas import INDEX
from recolor.pipeline.cache import Outcome, Part, fingerprint, run_part
from recolor.pipeline.inputs import check_image_folder
from recolor.pipeline.workspace import EXPORT_FOLDER, INTERNAL_FOLDER, OUTPUT_FOLDERS, Workspace

STAGE = "index"
VERSION = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An image file.

    Attributes:
        path: Path relative to the folder, with forward slashes; see `recolor.manifests.names` for bytes not in UTF-8.
        size_bytes: File size.
        mtime_ns: Modification time in nanoseconds since 1970.
    """

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Scan:
    """Contents of a folder: image files sorted by path, numbers of other files, unreadable folders."""

    found: tuple[FoundFile, ...]
    passed_over: PassedOver
    unreadable_folders: tuple[str, ...]

    @property
    def other_files(self) -> int:
        """Number of files that are not images by their suffix."""
        return self.passed_over.suffixes.total()


def index_images(workspace: Workspace, images: Path, config: Config) -> Outcome:
    """Writes `manifests/index.parquet`: path, size and time of every image file under a folder.

    Links to files and folders are followed. Each real folder is listed once, under its own name if it lies in the
    folder. Hidden names, names that match `index.skip`, and what Recolor wrote are skipped and counted. Files that
    cannot be opened are listed too; the stage `measure` records the reason.

    Raises:
        InputError: The folder does not exist, is not a folder, cannot be read, or contains no image file.
    """
    scan = scan_folder(images, config.index, skip=workspace.own_folders)
    if not scan.found:
        raise InputError(_nothing_found(images, scan, config.index))
    if folders := scan.unreadable_folders:
        _log.warning("%s: this folder cannot be read; its images are skipped.%s", folders[0], and_more(folders))
    outcome = run_part(index_part(workspace, scan, config), lambda staging: _write(scan, staging))
    # Other files are not part of the key: what is said about them is true now, even if the index is not written again.
    return replace(outcome, counts=_counts(scan), note=str(scan.passed_over))


def index_part(workspace: Workspace, scan: Scan, config: Config) -> Part:
    """Returns the index of the files found in a folder as a part of the cache."""
    inputs = {"files": fingerprint([[file.path, file.size_bytes, file.mtime_ns] for file in scan.found])}
    return Part(workspace, STAGE, VERSION, config.index, inputs, (workspace.manifest("index"),))


def scan_folder(images: Path, config: IndexConfig, skip: Sequence[Path] = ()) -> Scan:
    """Lists the image files under a folder, sorted by path.

    Args:
        images: The folder.
        config: The file name suffixes of images, and the names to skip.
        skip: Folders to skip, such as the outputs of the workspace.

    Raises:
        InputError: The folder does not exist, is not a folder, or cannot be read.
    """
    check_image_folder(images)
    unreadable: list[str] = []
    found: list[FoundFile] = []
    passed_over = PassedOver()
    start = len(os.path.join(images, ""))  # noqa: PTH118 - with the slash at the end
    for entry in _walk(images, SkipPatterns(config.skip), skip, passed_over, unreadable):
        if not entry.name.lower().endswith(config.suffixes):
            passed_over.count_file(entry.name)
        elif is_comparison(entry.path):
            passed_over.outputs[f"*{COMPARISON_SUFFIX}"] += 1
        elif (file := _found_file(entry, entry.path[start:])) is not None:
            found.append(file)
    return Scan(tuple(sorted(found, key=lambda file: file.path)), passed_over, tuple(unreadable))


def and_more(names: Sequence[str]) -> str:
    """Returns the end of a warning that names the first of several: ` The same holds for 1,999 more.`, or nothing."""
    return f" The same holds for {len(names) - 1:,} more." if len(names) > 1 else ""


class SkipPatterns:
    """The patterns of `index.skip`, compiled."""

    def __init__(self, patterns: Sequence[str]) -> None:
        # A pattern without a slash is one of a name in any folder.
        whole = {pattern: fnmatch.translate(pattern if "/" in pattern else f"*/{pattern}") for pattern in patterns}
        self._any = re.compile("|".join(whole.values()) or r"(?!)", re.IGNORECASE)
        self._each = {pattern: re.compile(expression, re.IGNORECASE) for pattern, expression in whole.items()}

    def pattern(self, folder: str, name: str) -> str | None:
        """Returns the first pattern that a name in a folder matches, or None."""
        path = f"{folder}/{name}"
        path = path if path.isascii() else shown(path)  # with an ASCII locale, names hold no letters such as `é`
        if self._any.match(path) is None:
            return None
        return next(pattern for pattern, expression in self._each.items() if expression.match(path))


def _walk(
    images: Path, patterns: SkipPatterns, skip: Sequence[Path], passed_over: PassedOver, unreadable: list[str]
) -> Iterator[os.DirEntry[str]]:
    """Yields every file. Each real folder is entered once, so loops of links end.

    Links to folders are followed after all folders, so that a new link does not change the paths of known images.
    """
    entered = {_identity(folder) for folder in skip if folder.exists()}
    waiting = deque([str(images)])
    while waiting:
        folder = waiting.pop()
        try:
            identity = _identity(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            unreadable.append(folder)
            continue
        if identity in entered:
            continue
        entered.add(identity)
        name_of_folder = os.path.basename(os.path.abspath(folder))  # noqa: PTH100, PTH119 - a hundred times as fast
        names = {entry.name for entry in entries}
        if EXPORT_FOLDER in names and folder != str(images):
            passed_over.outputs["exports"] += 1
            continue
        outputs = OUTPUT_FOLDERS if INTERNAL_FOLDER in names else ()
        for entry in entries:
            if (pattern := patterns.pattern(name_of_folder, entry.name)) is not None:
                passed_over.skipped[pattern] += 1
            elif entry.name.startswith("."):
                passed_over.hidden += entry.name != INTERNAL_FOLDER
            elif not _is_folder(entry):
                yield entry
            elif entry.name in outputs or (entry.is_symlink() and _is_among_outputs(entry.path)):
                passed_over.outputs[f"{entry.name}/"] += 1
            else:
                (waiting.appendleft if entry.is_symlink() else waiting.append)(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _is_among_outputs(link: str) -> bool:
    """Returns whether a link leads to or into the `data/` or `manifests/` of a workspace."""
    real = Path(os.path.realpath(link))
    return any(is_output_folder(folder) for folder in (real, *real.parents))


def is_output_folder(folder: Path) -> bool:
    """Returns whether a folder is the `data/` or `manifests/` of a workspace."""
    return folder.name in OUTPUT_FOLDERS and (folder.parent / INTERNAL_FOLDER).is_dir()


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116 - faster than Path
    return status.st_dev, status.st_ino


def _found_file(entry: os.DirEntry[str], relative: str) -> FoundFile | None:
    """Returns the file, or None for a pipe, socket or device. A dangling link has size 0."""
    path = encode_path(relative)
    try:
        status = entry.stat()
    except OSError:
        return FoundFile(path, 0, 0)
    if not entry.is_file():
        return None
    return FoundFile(path, status.st_size, status.st_mtime_ns)


def _write(scan: Scan, staging: Path) -> dict[str, int]:
    columns = {
        "path": pa.array([file.path for file in scan.found], pa.string()),
        "size_bytes": pa.array([file.size_bytes for file in scan.found], pa.int64()),
        "mtime_ns": pa.array([file.mtime_ns for file in scan.found], pa.int64()),
    }
    write_manifest(INDEX, pa.table(columns), staging / "index.parquet")
    return _counts(scan)


def _counts(scan: Scan) -> dict[str, int]:
    return {"images": len(scan.found), "other_files": scan.other_files}


def _nothing_found(images: Path, scan: Scan, config: IndexConfig) -> str:
    known, passed_over = ", ".join(config.suffixes), str(scan.passed_over)
    instead = f" {passed_over[0].upper()}{passed_over[1:]}." if passed_over else ""
    return (
        f"{images}: no image in this folder ({scan.other_files} other files). Images are files ending in"
        f" {known}.{instead}"
    )
