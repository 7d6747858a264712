"""Makes a folder hold the kept images. The photographs themselves stay as they are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from recolor.cleaning.export_files import as_written, is_free, is_of, is_right, make, publish, why_changed
from recolor.cleaning.export_kept import Kept, check_place, read_kept
from recolor.cleaning.export_ledger import (
    Mode,
    Written,
    fresh_staging,
    is_as_written,
    read_ledger,
    source_is_there,
    write_ledger,
)
from recolor.pipeline.storage import storage_errors
from recolor.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Problem:
    """A kept image that could not be exported, and why."""

    path: str
    why: str


@dataclass(slots=True)
class ExportResult:
    """What became of the files: paths relative to the folder.

    Attributes:
        written: Linked or copied now.
        current: There already, and right.
        removed: Of an earlier export, and kept no more.
        left: The same, but changed since, or the last copy of a photograph: left alone.
        problems: Kept images that could not be exported.
    """

    written: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Export:
    """Where from, where to, how; what earlier exports wrote there, what this one has done."""

    images: Path
    out: Path
    mode: Mode
    ledger: dict[str, Written]
    result: ExportResult


def export_clean(workspace: Workspace, images: Path, out: Path, mode: Mode, *, by_split: bool = False) -> ExportResult:
    """Makes a folder hold the kept images, under their own relative paths.

    Links are symbolic and absolute. Copies have the bytes that were measured and the photograph's time; each is
    written whole or not at all. What is right already is passed over. What an earlier export wrote and is kept no
    more is removed if it is still as it was written; a copy only while its photograph is there, too. What others
    wrote is never replaced or removed. Folders that become empty stay.

    Args:
        workspace: Where `manifests/clean.parquet` lies.
        images: The folder that was indexed.
        out: The folder to fill; made if it is not there.
        mode: `link` or `copy`.
        by_split: Put the images under `train/`, `val/` and `test/`.

    Raises:
        InputError: `out` is a file, is inside of the photographs' folders or around one, is where the workspace keeps
            its own, or holds the export of other photographs. Nothing was written.
        MissingStageError: `clean.parquet` is not there, or was made from other measurements.
        StorageError: The disk is full or cannot be written to; what was finished is kept.
    """
    images, out = (Path(os.path.abspath(path.expanduser())) for path in (images, out))  # noqa: PTH100 - takes `..` out
    kept = read_kept(workspace, images, by_split=by_split)
    check_place(workspace, images, out, kept.values())
    export = _Export(images, out, mode, read_ledger(out, images), ExportResult())
    with storage_errors(out):
        staging = fresh_staging(out)
        _remove_stale(export, kept)
        _write(export, _missing(export, kept), staging)
        staging.rmdir()
    return export.result


def _remove_stale(export: _Export, kept: Mapping[str, Kept]) -> None:
    for path in [path for path in export.ledger if path not in kept]:
        written = export.ledger.pop(path)
        if not os.path.lexists(export.out / path):
            continue
        if is_as_written(export.out, path, written) and (written.mode == "link" or source_is_there(written)):
            (export.out / path).unlink()
            export.result.removed.append(path)
        else:
            export.result.left.append(path)


def _missing(export: _Export, kept: Mapping[str, Kept]) -> dict[str, Kept]:
    """The images that are not there yet; one that is there as an older or another kind of export made it, is not."""
    missing = {}
    for path, image in kept.items():
        written, why = export.ledger.get(path), why_changed(image)
        own = written is not None and is_as_written(export.out, path, written)
        if why is not None:
            export.result.problems.append(Problem(path, why))
        elif own and written is not None and is_of(written, image, export.mode):
            export.result.current.append(path)
        elif own or is_free(export.out, path):
            missing[path] = image
        elif is_right(export.out / path, image, export.mode):
            export.result.current.append(path)
        else:
            export.result.problems.append(Problem(path, "another file is in its place; move that away"))
    return missing


def _write(export: _Export, missing: Mapping[str, Kept], staging: Path) -> None:
    """Writes what is missing; it is listed before, so that after a kill the next run knows what is its own."""
    for path in missing:
        if export.ledger.pop(path, None) is not None:
            (export.out / path).unlink(missing_ok=True)
    planned = {path: as_written(image, export.mode) for path, image in missing.items()}
    write_ledger(export.out, export.images, export.ledger | planned)
    for path, image in tqdm(missing.items(), desc="export", unit=" images", disable=None, delay=1):
        staged, target = staging / "file", export.out / path
        why = make(image, export.mode, staged) or publish(staged, target)
        if why is None:
            export.ledger[path] = as_written(image, export.mode, target)
            export.result.written.append(path)
        else:
            staged.unlink(missing_ok=True)
            export.result.problems.append(Problem(path, why))
    write_ledger(export.out, export.images, export.ledger)
