"""What the HTML pages share: templates that escape, pictures that travel inside the page, names that fit on a line."""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment() -> Environment:
    """The templates of `recolor/templates`; whatever is put into them is escaped."""
    return Environment(
        loader=PackageLoader("recolor.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True, slots=True)
class Script:
    """A script that stands in the page, and the hash (SHA-256, base64) by which the page's policy lets it run."""

    text: str
    sha256: str


def inline_script(name: str) -> Script:
    """A script of `recolor/templates`."""
    text = files("recolor.pages").joinpath("templates", name).read_text(encoding="utf-8")
    return Script(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii"))


def data_uri(media_type: str, data: bytes) -> str:
    """The bytes as a URI that holds them, so that the page loads nothing."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def printable(text: str) -> str:
    """The text with whatever cannot be drawn on one line (newlines, control and odd bytes) written as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )
