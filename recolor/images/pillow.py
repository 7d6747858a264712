"""Pillow's failures: the exceptions that it raises on damaged bytes, and its warnings, treated as errors here."""

import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, cast

from PIL import Image

# What Pillow raises on damaged bytes, as met in fuzzed files; it promises nothing narrower.
PILLOW_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError,
    NotImplementedError, RuntimeError, AssertionError, struct.error, zlib.error, UserWarning,
)  # fmt: skip

_Filter = tuple[Literal["error", "ignore"], None, type[Warning], re.Pattern[str] | None, int]

_FILTERS: tuple[_Filter, ...] = (  # as `warnings` stores them; the one added last is tried first
    ("ignore", None, Image.DecompressionBombWarning, None, 0),
    ("error", None, UserWarning, re.compile(r"PIL\."), 0),
)
_lock = threading.Lock()
_blocks: list[None] = []  # one for each block that is open, in any thread
_added: list[_Filter] = []


@contextmanager
def pillow_warnings_as_errors() -> Iterator[None]:
    """Raises Pillow's warnings as errors inside the block, and leaves `warnings.filters` as it was.

    Warning filters belong to the whole process, and `warnings.catch_warnings` is not thread-safe. The first thread that
    enters a block adds two filters for Pillow's modules; the last one that leaves removes them. Filters that were
    there before stay. Pillow's bomb warning is ignored: `check_size` limits the number of pixels.
    """
    with _lock:
        _blocks.append(None)
        _add_filters()
    try:
        yield
    finally:
        with _lock:
            _blocks.pop()
            if not _blocks:
                _remove_filters()


def _add_filters() -> None:
    """Adds the filters that are missing: another thread or a test runner may have reset them."""
    for entry in _FILTERS:
        if entry not in warnings.filters:
            action, _, category, module, _ = entry
            warnings.filterwarnings(action, category=category, module=module.pattern if module else "")
            _added.append(entry)


def _remove_filters() -> None:
    for entry in _added:
        with suppress(ValueError):  # reset by someone else
            cast("list[_Filter]", warnings.filters).remove(entry)
    _added.clear()


def one_line(error: BaseException) -> str:
    """What Pillow said, without the address of its buffer: the same file must always give the same row."""
    said = re.sub(r"<_io\.BytesIO[^>]*>", "of these bytes", str(error))
    return " ".join(f"{type(error).__name__}: {said}".split())[:200]
