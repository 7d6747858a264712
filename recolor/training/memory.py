"""A device whose memory is too small for a training's steps."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from recolor.errors import OutOfMemoryError
from recolor.training.step import Training

_SAID_ON_A_CPU = "can't allocate memory"  # by torch's allocator, in a RuntimeError


@contextmanager
def memory_errors(training: Training) -> Iterator[None]:
    """Has the message say what takes the memory.

    Raises:
        OutOfMemoryError: There was too little for something in the block.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and _SAID_ON_A_CPU not in str(error):
            raise
        name, config = training.name, training.config
        raise OutOfMemoryError(
            f"{name}: there is not enough memory for steps of {config.batch_images} images of {config.crop_px} px. Free"
            f" some and run again, which goes on from the newest checkpoint; or let several devices share a batch"
            f" ({name}.train.devices); or lower {name}.train.batch_images, which begins another training."
        ) from error
