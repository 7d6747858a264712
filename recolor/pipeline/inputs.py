"""Checks of paths that are given to a command. They load nothing, so that a mistyped path is answered at once."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from recolor.errors import InputError

STANDARD = Path("-")  # standard input, or standard output
WILDCARD = re.compile(r"[*?[]")


def is_pattern(path: Path) -> bool:
    """Returns whether a path is a pattern such as `old/**/*.jpg`, and not the name of a file."""
    return not os.path.lexists(path) and WILDCARD.search(str(path)) is not None


def check_inputs(paths: Iterable[Path]) -> None:
    """Checks that each path exists, is a pattern, or is `-`.

    Raises:
        InputError: A path is missing.
    """
    for path in paths:
        if path != STANDARD and not os.path.lexists(path) and not is_pattern(path):
            raise InputError(f"{path}: there is no such file or folder.")


def check_image_folder(images: Path) -> None:
    """Checks that a folder of photographs can be read.

    Raises:
        InputError: The folder does not exist, is not a folder, or cannot be read.
    """
    try:
        os.scandir(images).close()
    except FileNotFoundError as error:
        raise InputError(f"{images}: there is no such folder. Give the folder of photographs with --images.") from error
    except OSError as error:
        raise InputError(f"{images}: cannot be read as a folder ({error.strerror}).") from error
