"""Pairs that differ only in colour: a photograph, and its lightness coloured by a model."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recolor.color.gamut import join
from recolor.color.lab import rgb_to_lab
from recolor.colorize import Colorizer
from recolor.colorize.photo import has_colour
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode, read_bytes
from recolor.images.preview import reduced
from recolor.pipeline.progress import Progress

RGB = NDArray[np.uint8]

_MIN_SPREAD = 8  # R, G and B of a greyscale picture stored as colour JPEG differ by less
_MIN_SHARE = 0.01  # of the pixels that are not grey
_JPEG = {"quality": 95, "subsampling": 0}  # chroma at full resolution (4:4:4)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A file and its displayed name."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two JPEG files of equal size: a photograph, and its lightness coloured by the model."""

    name: str
    photograph: bytes
    coloured: bytes


@dataclass(frozen=True, slots=True)
class Skipped:
    """A photograph that cannot be used, and the reason."""

    name: str
    why: str


def make_pairs(
    photographs: Iterable[Photograph], colorizer: Colorizer, count: int, size_px: int
) -> tuple[tuple[Pair, ...], tuple[Skipped, ...]]:
    """Returns at most `count` pairs; skips photographs that cannot be read or have no colour.

    Args:
        photographs: Photographs in the order in which they are tried.
        colorizer: Model that colours.
        count: Number of pairs.
        size_px: Long side of the pictures; smaller photographs are not resized.
    """
    pairs: list[Pair] = []
    skipped: list[Skipped] = []
    with Progress("turing", count, "pairs") as progress:
        for photograph in photographs:
            if len(pairs) == count:
                break
            rgb = _read(photograph.path, size_px)
            if isinstance(rgb, str):
                skipped.append(Skipped(photograph.name, rgb))
                continue
            pairs.append(Pair(photograph.name, encode(rejoined(rgb)), encode(colorizer.colorize_rgb(rgb))))
            progress.update()
    return tuple(pairs), tuple(skipped)


def rejoined(rgb: RGB) -> RGB:
    """Converts a photograph to Lab and back, as its coloured version is.

    Args:
        rgb: uint8 sRGB [H, W, 3].

    Returns:
        uint8 sRGB [H, W, 3], equal to the input up to rounding.
    """
    lab = rgb_to_lab(rgb)
    return join(lab[..., 0], lab[..., 1:])


def encode(rgb: RGB) -> bytes:
    """Returns a picture as a JPEG without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", **_JPEG)
    return buffer.getvalue()


def _read(path: Path, size_px: int) -> RGB | str:
    """Returns the photograph, upright and reduced, or the reason why it cannot be used."""
    limits = MeasureConfig()
    try:
        rgb = reduced(decode(read_bytes(path, limits), limits, size_px).rgb, size_px)
    except ImageError as error:
        return str(error)
    coloured = has_colour(rgb, min_spread=_MIN_SPREAD, min_share=_MIN_SHARE, side_px=None)
    return rgb if coloured else "it has no colour"
