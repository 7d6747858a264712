"""Measures image files: each is read once, decoded once, and gives one row of measurements."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from recolor.cleaning.measure.colour import COLOUR_PX, measure_colours
from recolor.cleaning.measure.colour_network import COLUMNS
from recolor.cleaning.measure.edges import measure_edges
from recolor.cleaning.measure.exposure import measure_exposure, measure_surfaces
from recolor.cleaning.measure.frame import without_frame
from recolor.cleaning.measure.grey_tail import measure_grey_tail
from recolor.cleaning.measure.hashes import HASH_PX, hash_squares, hash_windows, make_thumbnails
from recolor.cleaning.measure.natural_colour import CNN_PX, measure_natural_colour
from recolor.cleaning.measure.sharpness import halve, measure_sharpness, octaves, smallest_octave, square_copy
from recolor.color.arrays import RGB, Grey
from recolor.config.settings import MeasureConfig
from recolor.errors import DAMAGE, ImageError
from recolor.images import Decoded, decode, read_bytes
from recolor.images.lenient import decode_damaged
from recolor.manifests.schemas import MEASUREMENTS, SHARPNESS_PX
from recolor.pipeline.workers import time_limit

TOGETHER = 16  # images per batch; some measurements process a batch at once
_LARGE_COPY_SIZE = 1 << 18  # bytes that are kept of each image of a batch
_JUDGED = pa.schema([MEASUREMENTS.arrow.field(name) for name in COLUMNS])
HASHES = ("phash_64", "phash_256", "phash_64_windows", "thumbnail")

Row = dict[str, Any]  # one row of the table, by column name


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """An image file, and its size when it was indexed."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Copies:
    """Small copies of a decoded image.

    Attributes:
        grey: uint8 [64, 64], for hashes.
        rgb: uint8 [48, 48, 3], for colour.
        large_rgb: uint8 [H, W, 3] of few pixels, for the convolutional network.
    """

    grey: Grey
    rgb: RGB
    large_rgb: RGB


def measure_files(files: Sequence[IndexedFile], config: MeasureConfig) -> Iterator[Row]:
    """Measures files, one row each. The row of an image that cannot be decoded holds the reason.

    Args:
        files: The files.
        config: Limits and sizes.

    Yields:
        Values for the columns of `schemas.MEASUREMENTS` without the identity; missing values are null.
    """
    for start in range(0, len(files), TOGETHER):
        decoded = [_decode(file, config) for file in files[start : start + TOGETHER]]
        numbers = _measure_copies([copies for _, copies in decoded if copies])
        for row, copies in decoded:
            yield row | next(numbers) if copies else row


def _decode(file: IndexedFile, config: MeasureConfig) -> tuple[Row, _Copies | None]:
    """Returns the row of a decoded file and its small copies, or a row with the reason and None."""
    row: Row = {}
    with ExitStack() as stack:
        stack.push(partial(_name_file, file.path))
        try:
            data = _read(file, config)
            row["sha256"] = hashlib.sha256(data).hexdigest()
            with time_limit(config.max_decode_s):
                numbers, copies = _measure_decoded(decode(data, config, config.measure_px))
            return row | numbers, copies
        except ImageError as error:
            refused = {"reason": error.reason, "detail": error.detail}
            return row | refused | (_measure_damaged(data, error, config) if error.reason in DAMAGE else {}), None


def _measure_damaged(data: bytes, refused: ImageError, config: MeasureConfig) -> Row:
    """Returns size and format of what is left of a damaged image; nothing if no pixels can be had.

    An image with a reason and a size can be kept by a person. Its colours are not compared with those of whole images.
    """
    try:
        with time_limit(config.max_decode_s):
            return _describe(decode_damaged(data, config.max_pixels, refused))
    except (ImageError, MemoryError):
        return {}


def _describe(decoded: Decoded) -> Row:
    return {
        "width_px": decoded.width_px,
        "height_px": decoded.height_px,
        "format": decoded.format,
        "mode": decoded.mode,
        "frames": decoded.frames,
        "orientation": decoded.orientation,
        "icc": decoded.icc,
    }


def _name_file(
    file: Path, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """Adds the file's path to an unexpected error, which ends the run."""
    del kind, trace
    if error is not None:
        error.add_note(str(file))


def _measure_decoded(decoded: Decoded) -> tuple[Row, _Copies]:
    """Measures sharpness, and returns the small copies for colour and hashes.

    Sharpness is measured at a short side of 288 to 575 px (less if the file has less): half the size of a 1024 px
    photograph. A blur below one pixel there is below two pixels in the file and invisible in the 256 px of the shards.
    The blurry detector knows no other scale, so this is no setting. It does not matter for colour and hashes.
    """
    pictures = octaves(bounded(decoded.rgb, SHARPNESS_PX))
    greys = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8) for picture in pictures]
    inside = without_frame(greys[0])
    framed = inside.shape != greys[0].shape
    numbers = {
        **_describe(decoded),
        "notes": "; ".join(decoded.notes) or None,
        "frame_share": 1.0 - inside.size / greys[0].size,
        "grey_tail": measure_grey_tail(pictures[0]),
        **measure_sharpness(greys),
        **measure_exposure(greys),
        "edges": measure_edges(greys).astype("<f4").tobytes(),
    }
    hashed = octaves(inside) if framed else greys
    copies = _Copies(
        grey=square_copy(hashed, HASH_PX),
        rgb=square_copy(pictures, COLOUR_PX),
        large_rgb=_large_copy(pictures),
    )
    return numbers, copies


def _large_copy(pictures: list[RGB]) -> RGB:
    """Returns the smallest octave that the convolutional network can see; of a panorama, which is large, a square copy.

    Few images are looked at, so that it is better not to make a square copy of each.
    """
    picture = smallest_octave(pictures, CNN_PX)
    return picture if picture.size <= _LARGE_COPY_SIZE else square_copy(pictures, CNN_PX)


def _measure_copies(copies: list[_Copies]) -> Iterator[Row]:
    """Yields colour and hashes, one row per image."""
    if not copies:
        return
    greys = np.stack([image.grey for image in copies])
    hashes = (*hash_squares(greys), hash_windows(greys), make_thumbnails(greys))
    colours = measure_colours(np.stack([image.rgb for image in copies]))
    judged = pa.table({name: colours[name] for name in COLUMNS}, schema=_JUDGED)
    natural = measure_natural_colour(judged, [image.large_rgb for image in copies])
    of_hashes = dict(zip(HASHES, ([row.tobytes() for row in values] for values in hashes), strict=True))
    columns = of_hashes | colours | natural
    columns["surface_residual"] = measure_surfaces(greys).tolist()
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def bounded(rgb: RGB, side_px: int) -> RGB:
    """Halves a picture while its short side stays at least `side_px`, as the JPEG decoder does while decoding."""
    while min(rgb.shape[:2]) >= 2 * side_px:
        rgb = halve(rgb)
    return rgb


def _read(file: IndexedFile, config: MeasureConfig) -> bytes:
    data = read_bytes(file.path, config)
    if len(data) != file.size_bytes:
        changing = f"{len(data)} bytes now, {file.size_bytes} when it was indexed: it is changing"
        raise ImageError("unreadable", changing)
    return data
