"""Paths as people type them: `~` for the home folder, and the nearest folder to a mistyped one."""

import difflib
import os
from os import PathLike
from pathlib import Path


def expand_user(path: str | PathLike[str]) -> Path:
    """Returns a path whose leading `~` or `~user` is replaced by the home folder.

    Unlike `Path.expanduser`, a name such as `~backup.jpg`, which is no user's, is not an error.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - see above


def nearest_folder(path: Path) -> Path | None:
    """Returns the folder whose name is most like a missing folder's, or else the nearest existing parent.

    Args:
        path: An absolute path. If several of its parts do not exist, the first of them is compared.

    Returns:
        A folder; None if the nearest existing parent is the root of the file system or cannot be read.
    """
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    try:
        names = [entry.name for entry in os.scandir(missing.parent) if entry.is_dir()]
    except OSError:
        return None
    close = difflib.get_close_matches(missing.name, names, n=1)
    if close and (missing.parent / close[0] / path.relative_to(missing)).is_dir():
        return missing.parent / close[0] / path.relative_to(missing)
    if close:
        return missing.parent / close[0]
    return None if missing.parent == missing.parent.parent else missing.parent
