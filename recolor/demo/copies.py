"""Copies of a photograph as collections contain them: re-encoded, resized, rotated, edited."""

from collections.abc import Callable, Mapping
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recolor.color.arrays import RGB

Copy = Callable[[RGB], bytes]

ORIGINAL_QUALITY = 92
_COPY_QUALITY = 88
_ORIENTATION_TAG = 0x0112


def jpeg(rgb: RGB, quality: int = _COPY_QUALITY, orientation: int | None = None) -> bytes:
    """Encodes a picture as JPEG.

    Args:
        rgb: uint8 [H,W,3], or [H,W] for a file of one channel.
        quality: libjpeg's quality.
        orientation: EXIF orientation to write, 1..8; None writes no EXIF data.
    """
    exif = Image.Exif()
    if orientation is not None:
        exif[_ORIENTATION_TAG] = orientation
    with BytesIO() as file:
        Image.fromarray(rgb).save(file, "JPEG", quality=quality, exif=exif)
        return file.getvalue()


def same_bytes(rgb: RGB) -> bytes:
    """Returns a file with the bytes of the original."""
    return jpeg(rgb, ORIGINAL_QUALITY)


def reencode(rgb: RGB) -> bytes:
    """Re-encodes at quality 60."""
    return jpeg(rgb, 60)


def resize(rgb: RGB) -> bytes:
    """Resizes to three quarters of the size."""
    height_px, width_px = rgb.shape[:2]
    return jpeg(_array(cv2.resize(rgb, (width_px * 3 // 4, height_px * 3 // 4), interpolation=cv2.INTER_AREA)))


def mirror(rgb: RGB) -> bytes:
    """Mirrors left and right."""
    return jpeg(_array(rgb[:, ::-1]))


def rotate(rgb: RGB) -> bytes:
    """Rotates by 90 degrees."""
    return jpeg(_array(np.rot90(rgb)))


def rotate_in_exif(rgb: RGB) -> bytes:
    """Rotates the pixels by 90 degrees and sets the EXIF orientation that undoes it (6)."""
    return jpeg(_array(np.rot90(rgb)), orientation=6)


def brighten(rgb: RGB) -> bytes:
    """Brightens by 5%."""
    return jpeg(_array(np.rint(np.minimum(rgb * 1.05, 255.0)).astype(np.uint8)))


def crop(rgb: RGB) -> bytes:
    """Crops 3% of the width and of the height, half on each side."""
    height_px, width_px = rgb.shape[:2]
    top, left = round(height_px * 0.015), round(width_px * 0.015)
    return jpeg(_array(rgb[top : height_px - top, left : width_px - left]))


def _array(rgb: NDArray[np.generic] | cv2.typing.MatLike) -> RGB:
    return np.ascontiguousarray(rgb, dtype=np.uint8)


COPIES: Mapping[str, Copy] = {
    "same_bytes": same_bytes,
    "reencoded": reencode,
    "resized": resize,
    "mirrored": mirror,
    "rotated": rotate,
    "exif_rotated": rotate_in_exif,
    "brighter": brighten,
    "cropped": crop,
}
