"""Reads a photograph for colouring: lightness, alpha, 16-bit depth and metadata."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import Pixels, Uint8, to_8_bits
from recolor.color.gamut import lightness_of
from recolor.colorize.metadata import Metadata, read_metadata
from recolor.config.settings import MeasureConfig
from recolor.images import decode

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """An upright photograph.

    Attributes:
        L: CIE lightness, float32 [H, W], 0..100, computed at the file's bit depth.
        alpha: Straight alpha [H, W], uint8 or uint16; None if the photograph is opaque.
        is_16_bit: Whether the file has 16 bits a channel.
        had_colour: Whether the photograph shows colour, which is not in `L`.
        original: uint8 sRGB [H, W, 3]; None if it was not requested or the photograph has no colour.
        format: Format of the file, as in `Decoded.format`.
        frames: Number of frames or pages; the pixels are those of the first.
        metadata: Metadata for the coloured file.
        notes: What is not in order in the file, as in `Decoded.notes`.
    """

    L: Float32Array
    alpha: Pixels | None
    is_16_bit: bool
    had_colour: bool
    original: Uint8 | None
    format: str
    frames: int
    metadata: Metadata
    notes: tuple[str, ...]


def read_photo(data: bytes, limits: MeasureConfig, *, keep_original: bool = False, lenient: bool = False) -> Photo:
    """Decodes a photograph with its 16 bits, alpha and metadata.

    Args:
        data: Bytes of the file.
        limits: Size limits; a larger file is not decoded.
        keep_original: Whether to keep the colours in `Photo.original`.
        lenient: Whether to decode what is left of a damaged file.

    Raises:
        ImageError: The file cannot be decoded.
    """
    decoded = decode(data, limits, lenient=lenient)
    rgb_8_bit = to_8_bits(decoded.pixels)
    coloured = has_colour(rgb_8_bit)
    return Photo(
        L=lightness_of(decoded.pixels),
        alpha=decoded.alpha,
        is_16_bit=decoded.pixels.dtype == np.uint16,
        had_colour=coloured,
        original=rgb_8_bit if coloured and keep_original else None,
        format=decoded.format,
        frames=decoded.frames,
        metadata=read_metadata(data, decoded),
        notes=decoded.notes,
    )


def has_colour(rgb: Uint8, *, min_spread: int = 7, min_share: float = 0.001, side_px: int | None = 256) -> bool:
    """Returns whether an image shows colour rather than grey with compression noise.

    R, G and B of grey stored as colour differ by up to 3 in JPEGs saved again at quality 75; the difference is smaller
    in the mean of several pixels, which is why the image is reduced first.

    Args:
        rgb: uint8 [H, W, 3].
        min_spread: Smallest difference between the largest and smallest channel of a coloured pixel.
        min_share: Share of coloured pixels, 0..1, above which the image has colour.
        side_px: Short side to which a larger image is reduced first; None uses the image as it is.
    """
    factor = 1.0 if side_px is None else max(1.0, min(rgb.shape[:2]) / side_px)
    size = (max(1, round(rgb.shape[1] / factor)), max(1, round(rgb.shape[0] / factor)))
    small = rgb if factor == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    spread = small.max(axis=2) - small.min(axis=2)
    return float((spread >= min_spread).mean()) > min_share
