"""Silences what decoders written in C print, such as `libpng warning: iCCP: too short`, which names no file."""

import ctypes
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from cv2.utils import logging as opencv


@contextmanager
def no_c_messages() -> Iterator[None]:
    """Discards what C libraries print to `stderr`, and OpenCV's warnings, while the context is open in any thread.

    Recolor's own messages name the file and say what is wrong with it. Python and child processes write to the file
    descriptor, not to C's stream `stderr`, and are not affected. Without glibc only OpenCV's warnings are discarded.
    """
    with _lock:
        _open.append((_c_stderr().value if _HAS_GLIBC else None, opencv.getLogLevel()))
        if len(_open) == 1:
            _set(_devnull() if _HAS_GLIBC else None, _SILENT)
    try:
        yield
    finally:
        with _lock:
            if len(_open) == 1:
                _set(*_open[0])
            _open.pop()


def _set(stream: int | None, level: int) -> None:
    if stream is not None:
        _c_stderr().value = stream
    opencv.setLogLevel(level)


@cache
def _c_stderr() -> ctypes.c_void_p:
    """Returns the variable `stderr` of C, which glibc allows to be set."""
    return ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")


@cache
def _devnull() -> int:
    """Returns a C stream that discards everything; it stays open until the process ends."""
    fopen = ctypes.CDLL(None).fopen
    fopen.restype, fopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_char_p)
    stream: int | None = fopen(os.devnull.encode(), b"w")
    if stream is None:
        raise OSError(f"{os.devnull} cannot be opened")
    return stream


_HAS_GLIBC = platform.libc_ver()[0] == "glibc"
_SILENT = opencv.LOG_LEVEL_SILENT
_lock = threading.Lock()
_open: list[tuple[int | None, int]] = []  # one for each open context; the first holds what is restored
