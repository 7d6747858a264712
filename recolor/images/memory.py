"""Want of memory, which is no verdict on an image: it may be decoded another time."""

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
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from error
        raise
