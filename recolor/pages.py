"""What the HTML pages share: templates that escape, pictures that travel inside the page, names that fit on a line."""

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment() -> Environment:
    """The templates of `recolor/templates`; whatever is put into them is escaped."""
    return Environment(
        loader=PackageLoader("recolor"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(media_type: str, data: bytes) -> str:
    """The bytes as a URI that holds them, so that the page loads nothing."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def printable(text: str) -> str:
    """The text with whatever cannot be drawn on one line (newlines, control and odd bytes) written as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )
