"""Your decisions about images, `manifests/decisions.csv`."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from recolor.errors import ConfigError
from recolor.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about an image, and its line in `decisions.csv`."""

    keep: bool
    line: int


def stored_decisions(workspace: Workspace) -> dict[str, Decision]:
    """Returns the decisions of a workspace's `decisions.csv`; none if the file does not exist.

    Raises:
        ConfigError: The file is malformed; the message names the line.
    """
    file = decisions_file(workspace)
    return parse_decisions(read_decisions(file), file)


def decisions_file(workspace: Workspace) -> Path:
    """Returns the path of a workspace's decisions."""
    return workspace.manifests / "decisions.csv"


def parse_decisions(text: str, file: Path) -> dict[str, Decision]:
    """Parses `decisions.csv`; if a path has several lines, the last one counts.

    The header is `path,decision`; each further line is a path and `keep` or `reject`. The cells may also be separated
    by semicolons or tabs, as some spreadsheet programs write them; the first line decides.

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
            cells = [cell.strip() for cell in row]
            if not any(cells) or (not decisions and cells == ["path", "decision"]):
                continue
            if len(row) != 2 or cells[1] not in ("keep", "reject"):
                raise ConfigError(
                    f"{file}, line {rows.line_num}: {row!r} is not PATH,keep or PATH,reject. Correct the line."
                )
            decisions[row[0]] = Decision(cells[1] == "keep", rows.line_num)
    except csv.Error as error:
        raise ConfigError(f"{file}, line {rows.line_num}: not valid CSV ({error}). Correct the line.") from error
    return decisions


def _delimiter(text: str) -> str:
    """Returns what separates the cells of the first line; a comma if no line can tell."""
    first = _FIRST_LINE.match(text)
    return first["delimiter"] if first else ","


_FIRST_LINE = re.compile(r"""\s*[^\r\n]*?(?P<delimiter>[,;\t])[ ]*"?(decision|keep|reject)"?[ ]*(?=[\r\n]|$)""")


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
        raise ConfigError(f"{file}: cannot be read as UTF-8 text ({error}). Correct or remove the file.") from error
