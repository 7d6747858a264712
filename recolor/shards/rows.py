"""Writes images as rows of a shard.

Each image is checked to be unchanged, decoded, resized and converted.
"""

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
from recolor.manifests.names import decode_path
from recolor.pipeline.c_messages import no_c_messages


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """A kept file as it was measured.

    Attributes:
        path: Path relative to the image folder, as manifests hold it.
        sha256: SHA-256 of its bytes.
        size_bytes: Size; None if there is no measurement of this content.
        mtime_ns: Modification time; None if there is no measurement of this content.
    """

    path: str
    sha256: str
    size_bytes: int | None
    mtime_ns: int | None


MEASURED_FILE = [field.name for field in fields(MeasuredFile)]


def write_rows(path: Path, offset: int, images: Path, files: list[MeasuredFile], config: Config) -> None:
    """Decodes images and writes them one after the other into a shard.

    Args:
        path: The shard, an existing file.
        offset: Byte at which the first image begins.
        images: The image folder.
        files: The images.
        config: Settings.

    Raises:
        InputError: An image has changed since it was measured; the message names it.
        MemoryError: There is not enough memory to decode an image.
    """
    with one_opencv_thread(), no_c_messages(), opencv_memory_errors(), path.open("r+b", buffering=0) as shard:
        for file in files:
            square = to_square(_decode_unchanged(images, file, config), config.shard.size_px)
            data = _stored(square, config.shard).data.cast("B")
            while data:
                written = os.pwrite(shard.fileno(), data, offset)
                data, offset = data[written:], offset + written


def to_square(rgb: npt.NDArray[np.uint8], size_px: int) -> npt.NDArray[np.uint8]:
    """Crops the centre square and resizes it: INTER_AREA to shrink, INTER_CUBIC to enlarge.

    Args:
        rgb: uint8 [H, W, 3], sRGB.
        size_px: Side S of the result.

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
    """Converts sRGB [S, S, 3] to the stored values: uint8 codes or float16 Lab [3, S, S]."""
    if config.dtype == "uint8":
        return rgb_to_codes(square)
    return np.ascontiguousarray(rgb_to_lab(square).transpose(2, 0, 1).astype("<f2"))


def _decode_unchanged(images: Path, file: MeasuredFile, config: Config) -> npt.NDArray[np.uint8]:
    path = images / decode_path(file.path)
    try:
        data = read_bytes(path, config.measure)
        decoded = (
            decode(data, config.measure, config.shard.size_px, lenient=True)
            if _is_unchanged(path, file, data)
            else None
        )
    except ImageError as error:
        if error.detail == NO_MEMORY:
            raise MemoryError(str(error)) from error
        raise InputError(
            f"{path}: could be decoded when it was measured, but not any more ({error}). Run `recolor clean` again."
        ) from error
    if decoded is None:
        raise InputError(f"{path}: this file has changed since it was measured. Run `recolor clean` again.")
    return decoded.rgb


def _is_unchanged(path: Path, file: MeasuredFile, data: bytes) -> bool:
    """Returns whether a file is the one that was measured.

    Size and modification time are compared; if they differ (a copy), the SHA-256 is.
    """
    with suppress(OSError):  # deleted meanwhile: the bytes that were read decide
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (file.size_bytes, file.mtime_ns) and len(data) == file.size_bytes:
            return True
    return hashlib.sha256(data).hexdigest() == file.sha256
