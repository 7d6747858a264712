"""The truth table: what is wrong with every image of the demo, so that what is found can be held against it."""

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
    """One row: an image, and one thing that is wrong with it; an image with several faults has several rows.

    Attributes:
        path: Path relative to the image folder, with forward slashes.
        issue: One of `recolor.cleaning.detect.ISSUES`, or `clean`.
        kind: How the fault was made; of a clean image, `landscape` or `photograph`.
        original: Of a duplicate, the path of what it was copied from; else empty.
        version: Version of the demo that made the image.
    """

    path: str
    issue: str
    kind: str
    original: str = ""
    version: int = VERSION


def format_truth(rows: Sequence[Truth]) -> str:
    """The table as CSV, with a header."""
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in fields(Truth)])
    writer.writerows([astuple(row) for row in rows])
    return file.getvalue()


def read_truth(path: Path) -> tuple[Truth, ...]:
    """Reads a truth table.

    Raises:
        InputError: It is not there.
        SchemaError: It has not the columns of a truth table.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no truth table. `recolor demo` makes the images and the table.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names = [column.name for column in fields(Truth)]
        if reader.fieldnames != names:
            raise SchemaError(f"{path}: columns are {reader.fieldnames}, a truth table's are {names}. Delete it.")
        return tuple(
            Truth(row["path"], row["issue"], row["kind"], row["original"], int(row["version"])) for row in reader
        )
