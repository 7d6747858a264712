"""Which images are kept, and where they may be exported to."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from recolor.cleaning.export_ledger import real
from recolor.errors import InputError, MissingStageError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import CLEAN, MEASUREMENTS
from recolor.pipeline.cache import require_record
from recolor.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept image: where it is, what it was when it was measured."""

    source: Path
    size_bytes: int
    mtime_ns: int
    sha256: str


def read_kept(workspace: Workspace, images: Path, *, by_split: bool) -> dict[str, Kept]:
    """The kept images, by their path under the folder of the export.

    Raises:
        MissingStageError: `clean.parquet` is not there, or was made from other measurements.
    """
    clean, measured = workspace.manifest("clean"), workspace.manifest("measurements")
    record = require_record(clean, "select")
    if record.inputs.get("measurements") != require_record(measured, "measure").content:
        raise MissingStageError(f"{clean}: made from other measurements. Run `recolor clean` first.")
    columns = [read_table(MEASUREMENTS, measured, [name])[name] for name in ("path", "size_bytes", "mtime_ns")]
    facts = {path: (size, mtime) for path, size, mtime in zip(*(column.to_pylist() for column in columns))}
    rows = read_table(CLEAN, clean)
    return {
        f"{split}/{path}" if by_split else path: Kept(images / path, *facts[path], sha256)
        for path, sha256, split in zip(*(rows[name].to_pylist() for name in ("path", "sha256", "split")))
    }


def check_place(workspace: Workspace, images: Path, out: Path, kept: Iterable[Kept]) -> None:
    """Refuses a folder in which an export would mix with photographs or manifests.

    Raises:
        InputError: It is one.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: the export must be a folder, and this is a file. Give another.")
    place = real(out)
    # By their real places: a folder of the photographs may be a link to somewhere else.
    for folder in {real(folder) for folder in {images, *(image.source.parent for image in kept)}}:
        if place.is_relative_to(folder) or folder.is_relative_to(place):
            raise InputError(f"{out}: inside of the photographs' folder {folder}, or around it. Give another.")
    for folder in workspace.own_folders:
        if place.is_relative_to(real(folder)):
            raise InputError(f"{out}: the workspace keeps its own files here. Give another folder.")
