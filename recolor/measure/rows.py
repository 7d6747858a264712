"""One image, one row: read once, decoded once, everything measured on that."""

import hashlib
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.config import MeasureConfig
from recolor.errors import ImageError
from recolor.images import Decoded, decode, read_bytes
from recolor.measure.colour import measure_colour
from recolor.measure.hashes import HASH_PX, hash_grey, hash_windows
from recolor.measure.sharpness import measure_sharpness, octaves

Row = dict[str, Any]  # a line of the table, on its way into Arrow columns


def measure_file(file: Path, size_bytes: int, config: MeasureConfig) -> Row:
    """Measures one file. There is a row always; an image that cannot be decoded has its reason in it.

    Args:
        file: The image file.
        size_bytes: Its size when it was indexed.
        config: Limits and sizes.

    Returns:
        Values for the columns of `schemas.MEASUREMENTS`, without the identity; missing ones are null.
    """
    with ExitStack() as stack:
        stack.push(partial(_name_file, file))
        return _measure(file, size_bytes, config)


def _name_file(
    file: Path, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """Lets an error that nobody expects, and that ends the run, say which file it was."""
    del kind, trace
    if error is not None:
        error.add_note(str(file))


def _measure(file: Path, size_bytes: int, config: MeasureConfig) -> Row:
    row: Row = {}
    try:
        data = _read(file, size_bytes, config)
        row["sha256"] = hashlib.sha256(data).hexdigest()
        return row | measure_picture(decode(data, config, config.measure_px), config)
    except ImageError as error:
        return row | {"reason": error.reason, "detail": error.detail}


def measure_picture(decoded: Decoded, config: MeasureConfig) -> Row:
    """Measures a decoded picture.

    Sharpness is measured as decoded: with the short side at `measure_px` or more, half a 1024 px photograph. A blur of
    under a pixel there was under two pixels in the file and is gone in the 256 px that the shards keep. Colour and
    hashes are measured on smaller copies, where the scale of the decode makes no difference.
    """
    rgb = _bounded(decoded.rgb, config.measure_px)
    greys = octaves(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8))
    to_hash = next((grey for grey in reversed(greys) if min(grey.shape) >= HASH_PX), greys[0])
    phash_64, phash_256 = hash_grey(to_hash)
    phash_64_windows, phash_256_windows = hash_windows(to_hash)
    return {
        "width_px": decoded.width_px,
        "height_px": decoded.height_px,
        "format": decoded.format,
        "mode": decoded.mode,
        "frames": decoded.frames,
        "orientation": decoded.orientation,
        "icc": decoded.icc,
        "phash_64": phash_64,
        "phash_256": phash_256,
        "phash_64_windows": phash_64_windows,
        "phash_256_windows": phash_256_windows,
        **measure_sharpness(greys),
        **measure_colour(rgb, config.colour_px),
    }


def _bounded(rgb: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Halves a picture that came unscaled (PNG) while its short side stays at `side_px`, as the JPEG decoder does."""
    while min(rgb.shape[:2]) >= 2 * side_px:
        size = (rgb.shape[1] // 2, rgb.shape[0] // 2)
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return rgb


def _read(file: Path, size_bytes: int, config: MeasureConfig) -> bytes:
    data = read_bytes(file, config)
    if len(data) != size_bytes:
        raise ImageError("unreadable", f"{len(data)} bytes now, {size_bytes} when it was indexed: it is changing")
    return data
