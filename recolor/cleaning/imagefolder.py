"""Exports the kept images as a Hugging Face `imagefolder`: a folder for each split, with a `metadata.csv` in it.

`datasets.load_dataset("imagefolder", data_dir=...)` reads it, and takes `val` for its split `validation`. The format is
a layout of files, so writing it needs no other package.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from recolor.cleaning.export import ExportResult, Mode, export_clean
from recolor.config.settings import SPLITS
from recolor.errors import InputError
from recolor.manifests.io import read_table
from recolor.manifests.names import decode_path
from recolor.manifests.schemas import CLEAN
from recolor.pipeline.storage import storage_errors, write_atomically
from recolor.pipeline.workspace import Workspace

METADATA_FILE = "metadata.csv"
COLUMNS = ("file_name", "sha256", "width_px", "height_px", "group")


def export_imagefolder(workspace: Workspace, images: Path, out: Path, mode: Mode) -> ExportResult:
    """Fills a folder with the kept images under `train/`, `val/` and `test/`, and writes their metadata.

    `metadata.csv` lists the images that are there, in the order of their paths. The images are linked or copied as by
    `export_clean`.

    Args:
        workspace: Workspace with `manifests/clean.parquet`.
        images: The folder that was indexed.
        out: The folder to fill; created if it does not exist.
        mode: `link` or `copy`.

    Raises:
        InputError: As `export_clean`. Or the folder has a `metadata.csv` that no export wrote, or the name of a kept
            image is not UTF-8. Nothing was written.
        MissingStageError: `clean.parquet` does not exist, or was made from other measurements.
        StorageError: The disk is full or not writable.
    """
    _check_metadata_files(out)
    rows = _rows(workspace)
    result = export_clean(workspace, images, out, mode, by_split=True)
    there = {*result.written, *result.current}
    with storage_errors(out):
        for split in SPLITS:
            present = {path: row for path, row in rows[split].items() if f"{split}/{path}" in there}
            _write_metadata(out / split / METADATA_FILE, present)
    return result


def _check_metadata_files(out: Path) -> None:
    header = _csv(COLUMNS).encode()
    for split in SPLITS:
        file = out / split / METADATA_FILE
        if file.exists() and not (file.is_file() and file.read_bytes().startswith(header)):
            raise InputError(f"{file}: not the metadata of an export. Move this file away, or give another folder.")


def _rows(workspace: Workspace) -> Mapping[str, Mapping[str, tuple[object, ...]]]:
    """Returns the rows of the metadata by split and path.

    Raises:
        InputError: The name of a kept image is not UTF-8.
        MissingStageError: `clean.parquet` does not exist.
    """
    clean = read_table(CLEAN, workspace.manifest("clean"))
    rows: dict[str, dict[str, tuple[object, ...]]] = defaultdict(dict)
    for path, sha256, width_px, height_px, group, split in zip(
        *(clean[name].to_pylist() for name in CLEAN.arrow.names)
    ):
        if decode_path(path) != path:
            raise InputError(
                f"{path}: this name is not UTF-8, as {METADATA_FILE} must be. Rename the file and run `recolor clean`"
                " again, or reject it in decisions.csv."
            )
        rows[split][path] = (path, sha256, width_px, height_px, group)
    return rows


def _write_metadata(file: Path, rows: Mapping[str, tuple[object, ...]]) -> None:
    if rows:
        text = "".join([_csv(COLUMNS), *(_csv(row) for _, row in sorted(rows.items()))])
        write_atomically(file, text.encode("utf-8"))
    else:
        file.unlink(missing_ok=True)


def _csv(row: tuple[object, ...]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()
