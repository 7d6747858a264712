"""Makes the demo's image folder and, beside it, the truth table."""

from collections.abc import Collection
from functools import partial
from pathlib import Path, PurePosixPath

import cv2

from recolor.cleaning.detect import ISSUES
from recolor.config.settings import ExecutionConfig
from recolor.demo.plan import Planned, plan_images
from recolor.demo.truth import format_truth, read_truth
from recolor.errors import InputError
from recolor.pipeline.parallel import run_parallel
from recolor.pipeline.storage import storage_errors, write_atomically

TRUTH_NAME = "truth.csv"
_PARTIAL_NAME = "truth.csv.partial"


def make_demo_images(
    folder: Path,
    landscapes: int = 400,
    *,
    issues: Collection[str] = ISSUES,
    each: int = 2,
    photographs: bool = True,
) -> int:
    """Makes clean landscapes, photographs and planted faults, and `truth.csv` beside the folder.

    The same arguments give the same files. What is there already stays untouched, so that a killed run is finished
    by the same call; other arguments, or another version of the demo, remove the old images first.

    Args:
        folder: The image folder; made if it is not there.
        landscapes: Number of clean landscapes, besides the originals of the duplicates.
        issues: Faults to plant, of `recolor.cleaning.detect.ISSUES`.
        each: How many images of each kind of fault.
        photographs: Whether the photographs that come with scikit-image are among the images.

    Returns:
        Number of images that were made now: 0 if all were there.

    Raises:
        InputError: The folder holds files and no truth table says that they are the demo's.
        StorageError: The disk is full or cannot be written.
    """
    plan = plan_images(landscapes, issues, each, photographs)
    table = format_truth([truth for planned in plan for truth in planned.truths])
    with storage_errors(folder):
        _begin(folder, table)
        cv2.setNumThreads(1)  # the images are the parallelism; OpenCV's own threads would fight them
        missing = [planned for planned in plan if not (folder / planned.path).is_file()]
        run_parallel(partial(_write, folder), missing, ExecutionConfig(), "demo images", lambda _: 1)
        if not _holds(folder.parent / TRUTH_NAME, table):
            (folder.parent / _PARTIAL_NAME).replace(folder.parent / TRUTH_NAME)
    return len(missing)


def _begin(folder: Path, table: str) -> None:
    """Leaves the folder with images of this table only, and the table beside it: finished, or as partial.

    The partial table says whose images the folder holds while they are made; the last step renames it.
    """
    truth, partial_truth = folder.parent / TRUTH_NAME, folder.parent / _PARTIAL_NAME
    folder.mkdir(parents=True, exist_ok=True)
    if _holds(truth, table) or _holds(partial_truth, table):
        return
    tables = [path for path in (truth, partial_truth) if path.is_file()]
    if not tables and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files that the demo did not make. Give an empty folder.")
    for path in tables:
        _remove_listed(folder, path)
    write_atomically(partial_truth, table.encode())


def _remove_listed(folder: Path, table: Path) -> None:
    """Deletes the images that the table lists, then the table."""
    for row in read_truth(table):
        relative = PurePosixPath(row.path)
        if not relative.is_absolute() and ".." not in relative.parts:
            (folder / relative).unlink(missing_ok=True)
    table.unlink()


def _write(folder: Path, planned: Planned) -> None:
    path = folder / planned.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, planned.make())


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
