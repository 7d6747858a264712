"""Fills a folder with links to the kept images, or with copies.

The photographs themselves do not change. The folder holds a ledger, `.recolor-export/written.json`, of what earlier
exports wrote there. Only files of the ledger are replaced or removed, and only while they are as they were written.
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from recolor.errors import InputError, MissingStageError
from recolor.manifests.io import read_table
from recolor.manifests.names import decode_path
from recolor.manifests.schemas import CLEAN, MEASUREMENTS
from recolor.paths import expand_user
from recolor.pipeline.cache import require_record
from recolor.pipeline.progress import track
from recolor.pipeline.storage import is_disk_error, storage_errors, write_atomically
from recolor.pipeline.workspace import EXPORT_FOLDER, Workspace

FORMAT = 1
_BLOCK_BYTES = 1 << 20

Mode = Literal["link", "copy"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A kept image that could not be exported, and the reason."""

    path: str
    why: str


@dataclass(slots=True)
class ExportResult:
    """What happened to each file. Paths are relative to the export folder and written as in manifests.

    Attributes:
        written: Linked or copied by this call.
        current: Already there and up to date.
        removed: Written by an earlier export, no longer kept, and now deleted.
        left: Written by an earlier export and no longer kept, but not deleted, because the file has changed since or is
            the last copy of its photograph.
        problems: Kept images that could not be exported.
    """

    written: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KeptImage:
    """A kept image: its photograph, and that file's size, time and content when it was measured."""

    source: Path
    size_bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Written:
    """A ledger entry: a link or a copy that an export wrote.

    Attributes:
        mode: `link` or `copy`.
        source: Absolute path of the photograph; the target of the link.
        size_bytes: Size of the photograph and of its copy.
        source_mtime_ns: Modification time of the photograph.
        mtime_ns: Modification time of the copy. It is the photograph's, rounded by some file systems.
    """

    mode: Mode
    source: str
    size_bytes: int
    source_mtime_ns: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class _Export:
    """One call of `export_clean`: arguments, ledger of earlier exports, result so far."""

    images: Path
    out: Path
    mode: Mode
    ledger: dict[str, _Written]
    result: ExportResult


def export_clean(workspace: Workspace, images: Path, out: Path, mode: Mode, *, by_split: bool = False) -> ExportResult:
    """Fills a folder with the kept images, under their own relative paths.

    Links are symbolic and absolute. Copies have the bytes that were measured and the photograph's modification time;
    each copy is written atomically. Files that are up to date are not written again. Files that an earlier export wrote
    are removed when their image is no longer kept, provided that they are as they were written; a copy is removed only
    while its photograph exists. Other files are never replaced or removed. Empty folders are not removed.

    Args:
        workspace: Workspace with `manifests/clean.parquet`.
        images: The folder that was indexed.
        out: The folder to fill; created if it does not exist.
        mode: `link` or `copy`.
        by_split: Put the images under `train/`, `val/` and `test/`.

    Raises:
        InputError: `out` is a file, lies inside or around the folders of the photographs, is used by the workspace for
            its own files, or holds the export of other photographs. Nothing was written.
        MissingStageError: `clean.parquet` does not exist, or was made from other measurements.
        StorageError: The disk is full or not writable. Files that were finished remain.
    """
    images, out = (Path(os.path.abspath(expand_user(path))) for path in (images, out))  # noqa: PTH100 - removes `..`
    kept = read_kept(workspace, images, by_split=by_split)
    check_place(workspace, images, out, kept.values())
    export = _Export(images, out, mode, _read_ledger(out, images), ExportResult())
    with storage_errors(out):
        staging = _empty_staging(out)
        _remove_stale(export, kept)
        _write(export, _missing(export, kept), staging)
        staging.rmdir()
    return export.result


def read_kept(workspace: Workspace, images: Path, *, by_split: bool) -> dict[str, KeptImage]:
    """Returns the kept images by their path in the export folder.

    Raises:
        MissingStageError: `clean.parquet` does not exist, or was made from other measurements.
    """
    clean, measured = workspace.manifest("clean"), workspace.manifest("measurements")
    record = require_record(clean, "select")
    if record.inputs.get("measurements") != require_record(measured, "measure").content:
        raise MissingStageError(f"{clean}: made from other measurements. Run `recolor clean` first.")
    columns = [read_table(MEASUREMENTS, measured, [name])[name] for name in ("path", "size_bytes", "mtime_ns")]
    facts = {path: (size, mtime) for path, size, mtime in zip(*(column.to_pylist() for column in columns))}
    rows = read_table(CLEAN, clean)
    return {
        f"{split}/{path}" if by_split else path: KeptImage(images / decode_path(path), *facts[path], sha256)
        for path, sha256, split in zip(*(rows[name].to_pylist() for name in ("path", "sha256", "split")))
    }


def check_place(workspace: Workspace, images: Path, out: Path, kept: Iterable[KeptImage]) -> None:
    """Raises an `InputError` if the export would mix with other files.

    These are the photographs and the workspace's own files.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: the export must be a folder, but this is a file. Give another path.")
    place = _real(out)
    # Real paths are compared, because a folder of the photographs may be a link to another place.
    for folder in {_real(folder) for folder in {images, *(image.source.parent for image in kept)}}:
        if place.is_relative_to(folder) or folder.is_relative_to(place):
            raise InputError(f"{out}: inside or around the photographs' folder {folder}. Give another folder.")
    for folder in workspace.own_folders:
        if place.is_relative_to(_real(folder)):
            raise InputError(f"{out}: the workspace keeps its own files here. Give another folder.")


def _remove_stale(export: _Export, kept: Mapping[str, KeptImage]) -> None:
    """Removes what earlier exports wrote and is no longer kept."""
    for path in [path for path in export.ledger if path not in kept]:
        written = export.ledger.pop(path)
        target = _target(export.out, path)
        if not os.path.lexists(target):
            continue
        if _is_as_written(export.out, path, written) and (written.mode == "link" or _source_exists(written)):
            target.unlink()
            export.result.removed.append(path)
        else:
            export.result.left.append(path)


def _missing(export: _Export, kept: Mapping[str, KeptImage]) -> dict[str, KeptImage]:
    """Returns the images to write: missing ones, and those exported in another version."""
    missing = {}
    for path, image in kept.items():
        written, why = export.ledger.get(path), _why_changed(image)
        own = written is not None and _is_as_written(export.out, path, written)
        if why is not None:
            export.result.problems.append(Problem(path, why))
        elif own and written is not None and _is_of(written, image, export.mode):
            export.result.current.append(path)
        elif own or _is_free(export.out, path):
            missing[path] = image
        elif _is_right(_target(export.out, path), image, export.mode):
            export.result.current.append(path)
        else:
            export.result.problems.append(Problem(path, "another file is in its place; move that file away"))
    return missing


def _write(export: _Export, missing: Mapping[str, KeptImage], staging: Path) -> None:
    """Writes the missing files.

    The ledger lists them first, so that a run after a kill recognises them as its own.
    """
    for path in missing:
        if export.ledger.pop(path, None) is not None:
            _target(export.out, path).unlink(missing_ok=True)
    planned = {path: _as_written(image, export.mode) for path, image in missing.items()}
    _write_ledger(export.out, export.images, export.ledger | planned)
    for path, image in track(missing.items(), "export", len(missing), "images"):
        staged, target = staging / "file", _target(export.out, path)
        why = _make(image, export.mode, staged) or _publish(staged, target)
        if why is None:
            export.ledger[path] = _as_written(image, export.mode, target)
            export.result.written.append(path)
        else:
            staged.unlink(missing_ok=True)
            export.result.problems.append(Problem(path, why))
    _write_ledger(export.out, export.images, export.ledger)


def _why_changed(image: KeptImage) -> str | None:
    """Returns why a photograph is not the file that was measured; None if it is."""
    try:
        status = image.source.stat()
    except OSError as error:
        return f"the photograph cannot be read any more ({error.strerror})"
    if (status.st_size, status.st_mtime_ns) != (image.size_bytes, image.mtime_ns):
        return "the photograph has changed since it was measured; run `recolor clean` again"
    return None


def _is_free(out: Path, path: str) -> bool:
    """Whether a file can be created: nothing exists at the path, and its parents are folders of `out` or missing."""
    target = _target(out, path)
    folders = target.parents[: len(PurePosixPath(path).parents)]
    return not os.path.lexists(target) and all(
        _is_inside(out, folder) if folder.is_dir() else not os.path.lexists(folder) for folder in folders
    )


def _is_right(target: Path, image: KeptImage, mode: Mode) -> bool:
    """Whether a file that no export wrote equals what the export would write."""
    if mode == "link":
        return target.is_symlink() and _link_target(target) == str(image.source)
    if target.is_symlink() or not target.is_file() or target.stat().st_size != image.size_bytes:
        return False
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == image.sha256


def _make(image: KeptImage, mode: Mode, staged: Path) -> str | None:
    """Creates the link or the copy at `staged`; returns why that failed, or None.

    A copy gets the photograph's modification time, and its SHA-256 is compared with that of the measured bytes.
    """
    if mode == "link":
        staged.symlink_to(image.source)
        return None
    why = _copy(image, staged)
    if why is None:
        os.utime(staged, ns=(image.mtime_ns, image.mtime_ns))
    return why


def photograph_bytes(image: KeptImage) -> bytes | str:
    """Returns the bytes of a photograph as they were measured, or why there are none."""
    why = _why_changed(image)
    if why is not None:
        return why
    try:
        data = image.source.read_bytes()
    except OSError as error:
        return f"the photograph cannot be read any more ({error.strerror})"
    return data if hashlib.sha256(data).hexdigest() == image.sha256 else _OTHER_BYTES


_OTHER_BYTES = "the photograph's bytes are not those that were measured; run `recolor clean` again"


def _copy(image: KeptImage, staged: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        source = image.source.open("rb")
    except OSError as error:
        return f"the photograph cannot be read any more ({error.strerror})"
    with source, staged.open("wb") as file:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != image.sha256:
        return _OTHER_BYTES
    return None


def _publish(staged: Path, target: Path) -> str | None:
    """Renames a finished file to its place, if nothing is there; returns why that failed, or None."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            return (
                "another image has the same name on this disk, which does not distinguish upper and lower case, or"
                " composed and decomposed letters"
            )
        staged.replace(target)
    except OSError as error:
        if is_disk_error(error):
            raise
        return f"this disk cannot hold a file of that name ({error.strerror})"
    return None


def _read_ledger(out: Path, images: Path) -> dict[str, _Written]:
    """Returns what earlier exports wrote, by path in the export folder.

    Raises:
        InputError: They exported other photographs, or the ledger cannot be read.
    """
    file = out / EXPORT_FOLDER / "written.json"
    try:
        data = json.loads(file.read_text(encoding="ascii"))
        written = {path: _Written(**entry) for path, entry in data["written"].items()}
        found = (data["format"], data["images"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{file}: the list of exported files cannot be read ({error}). Give another folder."
        ) from error
    if found != (FORMAT, str(images)):
        raise InputError(f"{out}: holds the kept images of {found[1]} (format {found[0]}). Give another folder.")
    return written


def _write_ledger(out: Path, images: Path, ledger: Mapping[str, _Written]) -> None:
    written = {path: asdict(entry) for path, entry in ledger.items()}
    data = {"format": FORMAT, "images": str(images), "written": written}
    write_atomically(out / EXPORT_FOLDER / "written.json", json.dumps(data).encode("ascii"))


def _empty_staging(out: Path) -> Path:
    """Returns an empty folder on the disk of the export, where files are made before they are renamed."""
    staging = out / EXPORT_FOLDER / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def _as_written(image: KeptImage, mode: Mode, target: Path | None = None) -> _Written:
    """Returns the ledger entry of a planned file, or of the file at `target` that was written."""
    mtime_ns = image.mtime_ns if target is None else target.lstat().st_mtime_ns
    return _Written(mode, str(image.source), image.size_bytes, image.mtime_ns, mtime_ns)


def _is_of(written: _Written, image: KeptImage, mode: Mode) -> bool:
    """Whether a ledger entry is of this image as measured.

    A link is, whatever the bytes of its photograph.
    """
    if (written.mode, written.source) != (mode, str(image.source)):
        return False
    return mode == "link" or (written.size_bytes, written.source_mtime_ns) == (image.size_bytes, image.mtime_ns)


def _is_as_written(out: Path, path: str, written: _Written) -> bool:
    """Whether a file is unchanged since an export wrote it, and really lies in the export folder."""
    target = _target(out, path)
    try:
        status = target.lstat()
        if not _is_inside(out, target.parent):
            return False
        if written.mode == "link":
            return stat.S_ISLNK(status.st_mode) and _link_target(target) == written.source
    except OSError:
        return False
    facts = (status.st_size, status.st_mtime_ns)
    return stat.S_ISREG(status.st_mode) and facts == (written.size_bytes, written.mtime_ns)


def _source_exists(written: _Written) -> bool:
    """Whether the photograph of a copy still exists, unchanged."""
    try:
        status = Path(written.source).stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (written.size_bytes, written.source_mtime_ns)


def _target(out: Path, path: str) -> Path:
    """Returns the file in the export folder for a path as manifests hold it."""
    return out / decode_path(path)


def _link_target(path: Path) -> str:
    """Returns the target of a symbolic link, character by character."""
    return os.readlink(path)  # noqa: PTH115 - Path.readlink normalises it


def _real(path: Path) -> Path:
    """Returns the path with every link followed.

    Unlike `Path.resolve`, it accepts a loop of links.
    """
    return Path(os.path.realpath(path))


def _is_inside(out: Path, folder: Path) -> bool:
    """Whether a folder is `out` or lies in it, once links are followed."""
    return _real(folder).is_relative_to(_real(out))
