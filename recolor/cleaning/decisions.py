"""Your decisions about images, `manifests/decisions.csv`."""

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recolor.errors import ConfigError, InputError
from recolor.pipeline.storage import write_output
from recolor.pipeline.workspace import Workspace, remembered_images


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about an image, and its line in `decisions.csv`."""

    keep: bool
    line: int


def stored_decisions(workspace: Workspace) -> dict[str, Decision]:
    """Returns the decisions of a workspace's `decisions.csv`, by path in the image folder; none if there is no file.

    Raises:
        ConfigError: The file is malformed; the message names the line.
    """
    file = decisions_file(workspace)
    return relative_decisions(parse_decisions(read_decisions(file), file), workspace)


def decisions_file(workspace: Workspace) -> Path:
    """Returns the path of a workspace's decisions."""
    return workspace.manifests / "decisions.csv"


def write_decisions(workspace: Workspace, decisions: Mapping[str, bool]) -> None:
    """Writes a workspace's `decisions.csv` atomically.

    Args:
        workspace: The workspace.
        decisions: Whether to keep each image, by path in the image folder, in the order of the lines.

    Raises:
        StorageError: The file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "decision"))
    writer.writerows((path, "keep" if keep else "reject") for path, keep in decisions.items())
    write_output(decisions_file(workspace), text.getvalue().encode())


def parse_decisions(text: str, file: Path) -> dict[str, Decision]:
    """Parses `decisions.csv`; if a path has several lines, the last one counts.

    The header is `path,decision`; each further line is a path and `keep` or `reject`. Files as spreadsheet programs
    save them are read, too: separated by semicolons or tabs (the first line decides), with a first line `sep=;`,
    quoted, with empty cells at the end of a line.

    Args:
        text: The content of the file.
        file: Its path, for error messages.

    Raises:
        ConfigError: A line is malformed; the message names it.
    """
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    decisions: dict[str, Decision] = {}
    try:
        for row in rows:
            cells = _cells(row)
            words = [cell.strip().lower() for cell in cells]
            if not cells or (not decisions and words == ["path", "decision"]) or _is_hint(row, rows.line_num):
                continue
            if len(cells) != 2 or words[1] not in ("keep", "reject"):
                raise ConfigError(
                    f"{file}, line {rows.line_num}: {row!r} is not PATH,keep or PATH,reject. Correct the line."
                )
            decisions[cells[0]] = Decision(words[1] == "keep", rows.line_num)
    except csv.Error as error:
        raise ConfigError(f"{file}, line {rows.line_num}: not valid CSV ({error}). Correct the line.") from error
    return decisions


def _cells(row: list[str]) -> list[str]:
    """Returns the cells of a line up to the last that is not empty."""
    while row and not row[-1].strip():
        row = row[:-1]
    return row


def _is_hint(row: list[str], line: int) -> bool:
    """Whether this is the first line `sep=;`, which tells a spreadsheet program what separates the cells."""
    return line == 1 and row[0] == "sep="


def _delimiter(text: str) -> str:
    """Returns what separates the cells: what the line `sep=;` says, or the first line; a comma if no line can tell."""
    first = _HINT.match(text) or _FIRST_LINE.match(text)
    return first["delimiter"] if first else ","


_HINT = re.compile(r"sep=(?P<delimiter>[,;\t])[ ]*(?=[\r\n])")
_FIRST_LINE = re.compile(
    r"""\s*[^\r\n]*?(?P<delimiter>[,;\t])[ ]*"?(decision|keep|reject)"?[ ]*(?P=delimiter)*[ ]*(?=[\r\n]|$)""",
    re.IGNORECASE,
)


def relative_decisions(decisions: Mapping[str, Decision], workspace: Workspace) -> dict[str, Decision]:
    """Returns decisions by path in the image folder; absolute paths and `./` are turned into relative ones.

    A path outside of the image folder stays as it is, and so is not among the images.

    Args:
        decisions: Decisions by path as written.
        workspace: Its image folder is the one that was indexed last.
    """
    if not any(path.startswith(("/", "./")) for path in decisions):
        return dict(decisions)
    folders = _image_folders(workspace)
    in_order = sorted(decisions.items(), key=lambda item: item[1].line)
    return {_relative(path, folders): decision for path, decision in in_order}


def _relative(path: str, folders: Sequence[Path]) -> str:
    if path.startswith("./"):
        return os.path.normpath(path)
    if path.startswith("/"):
        absolute = Path(os.path.normpath(path))
        for folder in folders:
            if absolute.is_relative_to(folder):
                return absolute.relative_to(folder).as_posix()
    return path


def _image_folders(workspace: Workspace) -> tuple[Path, ...]:
    """Returns the path of the image folder as given and with links followed; none if no folder was indexed."""
    try:
        images = remembered_images(workspace)
    except InputError:
        return ()
    return images, Path(os.path.realpath(images))


def read_decisions(file: Path) -> str:
    """Returns the text of `decisions.csv`, or an empty string if the file does not exist.

    Raises:
        ConfigError: The file is not UTF-8 text.
    """
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file}: cannot be read as UTF-8 text ({error}). Save it as `CSV UTF-8`, correct it, or remove it."
        ) from error
