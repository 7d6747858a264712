"""Edits a TOML file of settings in place, so that comments, order and layout stay as a person wrote them."""

import re
from collections.abc import Iterator, Mapping

from recolor.config.reference import Value, toml_value

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
_VALUE = r"(\"(?:[^\"\\]|\\.)*\"|'[^']*'|\[[^\[\]#]*\]|[^#\s\"'\[{]+)"  # a value on one line that is no table


def edited_toml(text: str, values: Mapping[str, Value]) -> str:
    """Returns the text of a TOML file with settings replaced or added.

    A line of the setting is changed in place; a new one goes below the setting's line that is commented out, or below
    the head of its table. The result is not parsed: text that this module does not understand, such as inline tables,
    may come out unchanged or wrong, so compare it with what was wanted.

    Args:
        text: The file; may be empty.
        values: Values by dotted name, such as `blurry.threshold`; a name without a dot is at the top of the file.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    for name, value in values.items():
        _set(lines, name, toml_value(value))
    return "".join(f"{line}{newline}" for line in lines)


def _set(lines: list[str], name: str, value: str) -> None:
    for at, key in _keys_of(lines, name):
        if found := re.fullmatch(rf"(\s*{re.escape(key)}\s*=\s*){_VALUE}(\s*(?:#.*)?)", lines[at]):
            lines[at] = f"{found[1]}{value}{found[3]}"
            return
    at, text = _place(lines, name, value)
    lines[at:at] = text


def _place(lines: list[str], name: str, value: str) -> tuple[int, list[str]]:
    """Returns the lines of a new setting, and the line number before which they go."""
    table, _, key = name.rpartition(".")
    for at, inner in _keys_of(lines, name):
        if re.match(rf"\s*#\s*{re.escape(inner)}\s*=", lines[at]):
            return at + 1, [f"{inner} = {value}"]
    if not table:
        return _top(lines), [f"{key} = {value}"]
    for at, (of, line) in enumerate(_with_table(lines)):
        if of == "" and re.match(rf"\s*{re.escape(table)}\.\w+\s*=", line):  # such as `blurry.enabled = true`
            return at + 1, [f"{name} = {value}"]
        if of == table and _HEADER.fullmatch(line):
            return at + 1, [f"{key} = {value}"]
    return len(lines), [*([""] if lines else []), f"[{table}]", f"{key} = {value}"]


def _top(lines: list[str]) -> int:
    """Returns the line number below the comment about the whole file, which ends at an empty line or with the file."""
    comments = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return comments if comments == len(lines) or not lines[comments].strip() else 0


def _keys_of(lines: list[str], name: str) -> Iterator[tuple[int, str]]:
    """Yields each line that may hold a setting, and the key that the setting has there, from the end of its name."""
    for at, (table, _) in enumerate(_with_table(lines)):
        if not table:
            yield at, name
        elif name.startswith(f"{table}."):
            yield at, name.removeprefix(f"{table}.")


def _with_table(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yields each line with the name of the table it belongs to; empty before the first."""
    table = ""
    for line in lines:
        if header := _HEADER.fullmatch(line):
            table = header[1]
        yield table, line
