r"""File names as text: the reversible form that manifests hold, and the form that messages show.

On Linux a file name is a sequence of bytes, which need not be UTF-8. A manifest holds valid UTF-8 only. Each byte that
is not part of valid UTF-8 is written as `\x` and two lower-case hexadecimal digits: the Latin-1 name `café.jpg` is
`caf\xe9.jpg`. A backslash that would begin such an escape is written as `\x5c`, so a file that is really called
`caf\xe9.jpg` is `caf\x5cxe9.jpg`. All other names, with or without backslashes, are unchanged.
"""

import codecs
import os
import re

# Only bytes that are never ASCII, and the backslash: no escape can stand for `/`, `..` or a null byte.
_ESCAPE = re.compile(rb"\\x(5c|[89a-f][0-9a-f])")
_LIKE_AN_ESCAPE = re.compile(rb"\\(?=x(?:5c|[89a-f][0-9a-f]))")


def encode_path(path: str | os.PathLike[str]) -> str:
    r"""Returns a path as manifests hold it: valid UTF-8, with other bytes as `\xNN`.

    Examples:
        >>> encode_path(os.fsdecode(b"caf\xe9.jpg"))
        'caf\\xe9.jpg'
    """
    text = os.fspath(path)
    if text.isascii() and "\\" not in text:
        return text
    return _LIKE_AN_ESCAPE.sub(rb"\\x5c", os.fsencode(text)).decode("utf-8", "backslashreplace")


def decode_path(text: str) -> str:
    """Returns the path of a file from a manifest's text, as `open` and `Path` accept it; undoes `encode_path`."""
    if text.isascii() and "\\" not in text:
        return text
    return os.fsdecode(_ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), text.encode("utf-8")))


def shown(text: str | os.PathLike[str]) -> str:
    r"""Returns a path for one line of a message: bytes not in UTF-8 as `\xNN`, control characters as `\n`, `\x07`."""
    readable = os.fspath(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in readable)


def _escape_bytes(error: UnicodeError) -> tuple[str, int]:
    r"""Encodes what a stream cannot: bytes of file names as `\xNN`, other characters as `backslashreplace` does."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_escaped(character) for character in characters), error.end


def _escaped(character: str) -> str:
    is_byte = "\udc80" <= character <= "\udcff"  # as `surrogateescape` holds it
    return f"\\x{ord(character) - 0xDC00:02x}" if is_byte else character.encode("ascii", "backslashreplace").decode()


ESCAPE_BYTES = "recolor.escape_bytes"  # name of the error handler, for `open` and `TextIOWrapper.reconfigure`
codecs.register_error(ESCAPE_BYTES, _escape_bytes)
