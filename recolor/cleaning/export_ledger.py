"""What exports wrote into a folder: only that is ever replaced or removed, and only while it is as it was written."""

import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from recolor.errors import InputError
from recolor.pipeline.storage import write_atomically

OWN_FOLDER = ".recolor-export"
FORMAT = 1

Mode = Literal["link", "copy"]


@dataclass(frozen=True, slots=True)
class Written:
    """A link or a copy that an export wrote.

    Attributes:
        mode: Which of the two.
        source: The photograph, absolute: what the link holds.
        size_bytes: Size of the photograph, and of its copy.
        source_mtime_ns: When the photograph was last changed.
        mtime_ns: The time that the copy has: the photograph's, but some disks round it.
    """

    mode: Mode
    source: str
    size_bytes: int
    source_mtime_ns: int
    mtime_ns: int


def read_ledger(out: Path, images: Path) -> dict[str, Written]:
    """What earlier exports wrote, by its path under the folder.

    Raises:
        InputError: They were of other photographs, or the list cannot be read.
    """
    file = out / OWN_FOLDER / "written.json"
    try:
        data = json.loads(file.read_text(encoding="ascii"))
        written = {path: Written(**entry) for path, entry in data["written"].items()}
        found = (data["format"], data["images"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{file}: the list of what was exported cannot be read ({error}). Give another folder."
        ) from error
    if found != (FORMAT, str(images)):
        raise InputError(f"{out}: holds the kept images of {found[1]} (format {found[0]}). Give another folder.")
    return written


def write_ledger(out: Path, images: Path, ledger: Mapping[str, Written]) -> None:
    """Lists what was written, or is about to be."""
    written = {path: asdict(entry) for path, entry in ledger.items()}
    data = {"format": FORMAT, "images": str(images), "written": written}
    write_atomically(out / OWN_FOLDER / "written.json", json.dumps(data).encode("ascii"))


def fresh_staging(out: Path) -> Path:
    """An empty folder on the export's own disk, where files are made before they are renamed."""
    staging = out / OWN_FOLDER / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def is_as_written(out: Path, path: str, written: Written) -> bool:
    """Whether a file is still what an export wrote, and no link leads to it from elsewhere."""
    target = out / path
    try:
        status = target.lstat()
        if not is_inside(out, target.parent):
            return False
        if written.mode == "link":
            return stat.S_ISLNK(status.st_mode) and link_text(target) == written.source
    except OSError:
        return False
    facts = (status.st_size, status.st_mtime_ns)
    return stat.S_ISREG(status.st_mode) and facts == (written.size_bytes, written.mtime_ns)


def source_is_there(written: Written) -> bool:
    """Whether the photograph of a copy is still there, as it was copied."""
    try:
        status = Path(written.source).stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (written.size_bytes, written.source_mtime_ns)


def link_text(path: Path) -> str:
    """What a symbolic link holds, to the letter."""
    return os.readlink(path)  # noqa: PTH115 - Path.readlink normalises it


def real(path: Path) -> Path:
    """The path with every link followed; unlike `Path.resolve`, a loop of links is no error."""
    return Path(os.path.realpath(path))


def is_inside(out: Path, folder: Path) -> bool:
    """Whether a folder is really in another, or is it, wherever links lead."""
    return real(folder).is_relative_to(real(out))
