"""How Pillow fails: what it raises on damaged bytes, and its warnings, which are verdicts here."""

import re
import struct
import warnings
import zlib

from PIL import Image

# What Pillow raises on damaged bytes, as met in fuzzed files; it promises nothing narrower.
PILLOW_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError,
    NotImplementedError, RuntimeError, AssertionError, struct.error, zlib.error, UserWarning,
)  # fmt: skip


def make_warnings_errors() -> None:
    """Has Pillow's warnings raised in the thread that meets them.

    `warnings.catch_warnings` swaps state that all threads share; a standing filter swaps nothing. It is looked for each
    time because a test runner resets the filters. Pillow's bomb warning is left out: `check_size` decides that.
    """
    if not any(row[0] == "error" and row[3] is not None and row[3].pattern == r"PIL\." for row in warnings.filters):
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        warnings.filterwarnings("error", category=UserWarning, module=r"PIL\.")


def one_line(error: BaseException) -> str:
    """What Pillow said, without the address of its buffer: the same file must always give the same row."""
    said = re.sub(r"<_io\.BytesIO[^>]*>", "of these bytes", str(error))
    return " ".join(f"{type(error).__name__}: {said}".split())[:200]
