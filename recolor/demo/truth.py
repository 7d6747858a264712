"""The truth table: the faults of every demo image, to compare with what the detectors find."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO
from pathlib import Path

from recolor.errors import InputError, SchemaError

VERSION = 1
CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Truth:
    """One row: an image and one of its faults; an image with several faults has several rows.

    Attributes:
        path: Path relative to the image folder, with forward slashes.
        issue: One of `recolor.demo.plan.PLANTED`, or `clean`.
        kind: How the fault was made; `landscape` or `photograph` for a clean image.
        original: Path of the original; empty if the image is not a duplicate.
        version: Version of the demo that made the image.
    """

    path: str
    issue: str
    kind: str
    original: str = ""
    version: int = VERSION


def format_truth(rows: Sequence[Truth]) -> str:
    """Returns the table as CSV with a header."""
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in fields(Truth)])
    writer.writerows([astuple(row) for row in rows])
    return file.getvalue()


def read_truth(path: Path) -> tuple[Truth, ...]:
    """Reads a truth table.

    Raises:
        InputError: The file is missing.
        SchemaError: The columns are not those of a truth table.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no truth table. `recolor demo` writes the images and the table.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names = [column.name for column in fields(Truth)]
        if reader.fieldnames != names:
            raise SchemaError(
                f"{path}: the columns are {reader.fieldnames}, but a truth table has {names}. Delete the file."
            )
        return tuple(
            Truth(row["path"], row["issue"], row["kind"], row["original"], int(row["version"])) for row in reader
        )
