"""Writes the demo's image folder and its truth table."""

from collections.abc import Collection
from functools import partial
from pathlib import Path, PurePosixPath

from recolor.config.settings import ExecutionConfig
from recolor.demo.plan import PLANTED, Planned, plan_images
from recolor.demo.truth import format_truth, read_truth
from recolor.errors import InputError
from recolor.images.opencv import one_opencv_thread
from recolor.pipeline.parallel import run_parallel
from recolor.pipeline.storage import storage_errors, write_atomically

TRUTH_NAME = "truth.csv"
_PARTIAL_NAME = "truth.csv.partial"


def make_demo_images(
    folder: Path,
    landscapes: int = 400,
    *,
    issues: Collection[str] = PLANTED,
    each: int = 2,
    photographs: bool = True,
) -> int:
    """Writes landscapes, photographs and planted faults, and `truth.csv` next to the folder.

    The same arguments give the same files. Existing images are kept, so that the same call finishes an interrupted
    run. Other arguments, or another version of the demo, first remove the old images.

    Args:
        folder: Image folder; created if missing.
        landscapes: Number of clean landscapes, besides the originals of the duplicates.
        issues: Faults to plant, of `recolor.demo.plan.PLANTED`.
        each: Number of images of each kind of fault.
        photographs: Whether to include the photographs of scikit-image.

    Returns:
        Number of images written by this call; 0 if all existed.

    Raises:
        InputError: The folder contains files that no truth table lists.
        StorageError: The disk is full or not writable.
    """
    plan = plan_images(landscapes, issues, each, photographs)
    table = format_truth([truth for planned in plan for truth in planned.truths])
    with storage_errors(folder):
        _begin(folder, table)
        missing = [planned for planned in plan if not (folder / planned.path).is_file()]
        with one_opencv_thread():
            run_parallel(partial(_write, folder), missing, ExecutionConfig(), "demo images", lambda _: 1)
        if not _holds(folder.parent / TRUTH_NAME, table):
            (folder.parent / _PARTIAL_NAME).replace(folder.parent / TRUTH_NAME)
    return len(missing)


def _begin(folder: Path, table: str) -> None:
    """Removes the images of another truth table and writes this table under its partial name.

    The partial table marks the folder as the demo's while images are written; the last step renames it.
    """
    truth, partial_truth = folder.parent / TRUTH_NAME, folder.parent / _PARTIAL_NAME
    folder.mkdir(parents=True, exist_ok=True)
    if _holds(truth, table) or _holds(partial_truth, table):
        return
    tables = [path for path in (truth, partial_truth) if path.is_file()]
    if not tables and any(folder.iterdir()):
        raise InputError(f"{folder}: contains files that the demo did not write. Give an empty folder.")
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
