"""Says what a tool needs and does not find, before it does anything."""

from collections.abc import Iterable
from pathlib import Path

from recolor.cleaning.index import scan_folder
from recolor.config.settings import IndexConfig
from recolor.errors import RecolorError


def require_folder(folder: Path, what: str) -> Path:
    """The folder.

    Raises:
        SystemExit: It is not there; says what it should hold.
    """
    if not folder.is_dir():
        raise SystemExit(f"{folder}: there is no such folder. It should hold {what}.")
    return folder


def require_sets(data: Path, names: Iterable[str], *, labelled: Iterable[str] = ()) -> Path:
    """The folder of sets.

    Raises:
        SystemExit: A set has no folder `files`, or a labelled one no `index.csv`; says what is missing.
    """
    for name in (*names, *labelled):
        require_folder(data / name / "files", "pictures; give the folder of sets with --data")
    for name in labelled:
        if not (data / name / "index.csv").is_file():
            raise SystemExit(f"{data / name / 'index.csv'}: missing. It should say of each file what it is.")
    return data


def require_images(folder: Path, suffixes: tuple[str, ...] = IndexConfig().suffixes) -> Path:
    """The folder.

    Raises:
        SystemExit: It is not there, or holds no images of these suffixes.
    """
    try:
        found = scan_folder(folder, IndexConfig(suffixes=suffixes)).found
    except RecolorError as error:
        raise SystemExit(str(error)) from None
    if not found:
        raise SystemExit(f"{folder}: no file in it ends in {', '.join(suffixes)}. Give others with --images.")
    return folder
