"""An image as a shard's row: decoded if it is as it was measured, brought to size, converted, written at its place."""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from recolor.color.lab import rgb_to_lab
from recolor.color.lab_codes import rgb_to_codes
from recolor.config.settings import Config, ShardConfig
from recolor.errors import ImageError, InputError
from recolor.images import NO_MEMORY, decode, one_opencv_thread, opencv_memory_errors, read_bytes


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """A kept file as it was measured.

    Attributes:
        path: Relative to the image folder.
        sha256: Of its bytes.
        size_bytes, mtime_ns: Its size and time of change; None where its measurement is not at hand.
    """

    path: str
    sha256: str
    size_bytes: int | None
    mtime_ns: int | None


MEASURED_FILE = [field.name for field in fields(MeasuredFile)]


def write_rows(path: Path, offset: int, images: Path, files: list[MeasuredFile], config: Config) -> None:
    """Decodes some images and writes them one after the other into a shard.

    Args:
        path: The shard, which is there already.
        offset: Where in it the first one begins, in bytes.
        images: The image folder.
        files: The images.
        config: Settings.

    Raises:
        InputError: An image is not what was measured; names it.
        MemoryError: There is not enough memory to decode one.
    """
    with one_opencv_thread(), opencv_memory_errors(), path.open("r+b", buffering=0) as shard:
        for file in files:
            square = to_square(_decode_unchanged(images, file, config), config.shard.size_px)
            data = _stored(square, config.shard).data.cast("B")
            while data:
                written = os.pwrite(shard.fileno(), data, offset)
                data, offset = data[written:], offset + written


def to_square(rgb: npt.NDArray[np.uint8], size_px: int) -> npt.NDArray[np.uint8]:
    """Cuts the centre square and brings it to size: area filter down, cubic up.

    Args:
        rgb: uint8 [H, W, 3], sRGB.
        size_px: Side S.

    Returns:
        uint8 [S, S, 3].
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = rgb[top : top + side, left : left + side]
    if side == size_px:
        return square
    filter_kind = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=filter_kind), np.uint8)


def _stored(square: npt.NDArray[np.uint8], config: ShardConfig) -> npt.NDArray[Any]:
    """What a shard holds of sRGB [S, S, 3]: codes or Lab [3, S, S]."""
    if config.dtype == "uint8":
        return rgb_to_codes(square)
    return np.ascontiguousarray(rgb_to_lab(square).transpose(2, 0, 1).astype("<f2"))


def _decode_unchanged(images: Path, file: MeasuredFile, config: Config) -> npt.NDArray[np.uint8]:
    path = images / file.path
    try:
        data = read_bytes(path, config.measure)
        decoded = decode(data, config.measure, config.shard.size_px) if _is_unchanged(path, file, data) else None
    except ImageError as error:
        if error.detail == NO_MEMORY:
            raise MemoryError(str(error)) from error
        raise InputError(
            f"{path}: could be decoded when it was measured, and now it cannot be ({error}). Run `recolor clean` again."
        ) from error
    if decoded is None:
        raise InputError(f"{path}: this file has changed since it was measured. Run `recolor clean` again.")
    return decoded.rgb


def _is_unchanged(path: Path, file: MeasuredFile, data: bytes) -> bool:
    """A file of the measured size and time is trusted, as everywhere; one of another time (a copy) is hashed."""
    with suppress(OSError):  # gone by now: then its bytes decide
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (file.size_bytes, file.mtime_ns) and len(data) == file.size_bytes:
            return True
    return hashlib.sha256(data).hexdigest() == file.sha256
