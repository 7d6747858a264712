"""OpenCV's memory errors and number of threads, changed only inside a block."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

NO_MEMORY = "there is not enough memory to decode it"


@contextmanager
def opencv_memory_errors() -> Iterator[None]:
    """Has OpenCV say that memory ran out as Python does.

    Raises:
        MemoryError: There was too little for something in the block.
    """
    try:
        yield
    except cv2.error as error:
        # OpenCV's networks pass C++'s own exception on, without a code.
        if error.code == cv2.Error.StsNoMem or "bad_alloc" in str(error):
            raise MemoryError(str(error)) from error
        raise


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Runs OpenCV on one thread inside the block, for callers that run in parallel themselves.

    The number belongs to the whole process. The first thread that enters a block sets it, and the last one that leaves
    restores it.
    """
    with _lock:
        _before.append(cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _lock:
            if len(_before) == 1:
                cv2.setNumThreads(_before[0])
            _before.pop()


_lock = threading.Lock()
_before: list[int] = []  # one for each block that is open, in any thread; the first is the number to restore
