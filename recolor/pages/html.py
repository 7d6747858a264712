"""Shared parts of the HTML pages: templates, inline scripts, data URIs, printable names."""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment() -> Environment:
    """Returns the environment of `recolor/pages/templates`; it escapes all values."""
    return Environment(
        loader=PackageLoader("recolor.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True, slots=True)
class Script:
    """An inline script and its hash (SHA-256, base64) for the page's content security policy."""

    text: str
    sha256: str


def inline_script(name: str) -> Script:
    """Returns a script of `recolor/pages/templates`."""
    text = files("recolor.pages").joinpath("templates", name).read_text(encoding="utf-8")
    return Script(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii"))


def data_uri(media_type: str, data: bytes) -> str:
    """Returns the bytes as a data URI, so that the page loads no files."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def printable(text: str) -> str:
    """Returns the text with all non-printable characters written as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )
