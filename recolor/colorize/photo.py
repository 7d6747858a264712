"""A photograph as colouring needs it: its lightness, and what must be kept of its file."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from recolor.color.depth import Pixels, Uint8, to_8_bits
from recolor.color.gamut import lightness_of
from recolor.colorize.metadata import Kept, read_kept
from recolor.colorize.sixteen_bit import is_deep, read_deep
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import Decoded, decode
from recolor.images.icc import to_srgb
from recolor.images.jpeg import read_header
from recolor.images.pillow import PILLOW_ERRORS, one_line, pillow_warnings_as_errors

Float32Array = NDArray[np.float32]

_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
# Grey stored as colour differs from grey by what rounding and compression did: up to 3 of 255 a pixel in JPEGs saved
# again at quality 75, less in the mean of several pixels.
_LOOKED_AT_PX = 256
_MOST_ROUNDING = 6
_LEAST_COLOURED = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photograph, upright.

    Attributes:
        L: float32 [H, W], CIE lightness 0..100 of its sRGB, with the precision of its bits.
        alpha: Straight alpha [H, W] of its own depth, or None: opaque.
        deep: Whether it has 16 bits a channel.
        had_colour: Whether it shows colour, which L knows nothing of.
        original: uint8 sRGB [H, W, 3] if it had colour and was to be kept, else None.
        format: As `Decoded.format`.
        frames: Number of frames or pages, of which this is the first.
        kept: What is written beside the pixels.
    """

    L: Float32Array
    alpha: Pixels | None
    deep: bool
    had_colour: bool
    original: Uint8 | None
    format: str
    frames: int
    kept: Kept


def read_photo(data: bytes, limits: MeasureConfig, *, keep_original: bool = False) -> Photo:
    """Decodes strictly, as `recolor.images.decode` does, and keeps what that drops: 16 bits, alpha, metadata.

    Args:
        data: The bytes of a file.
        limits: Sizes above which it is not decoded.
        keep_original: Whether the colours are asked for too.

    Raises:
        ImageError: It cannot be decoded.
    """
    decoded = decode(data, limits)
    rgb, alpha = _pixels(data, decoded)
    seen = to_8_bits(rgb)
    coloured = has_colour(seen)
    return Photo(
        L=lightness_of(rgb),
        alpha=alpha,
        deep=rgb.dtype == np.uint16,
        had_colour=coloured,
        original=seen if coloured and keep_original else None,
        format=decoded.format,
        frames=decoded.frames,
        kept=read_kept(data, decoded),
    )


def has_colour(rgb: Uint8) -> bool:
    """Whether an image shows colour, rather than grey with the noise of rounding.

    Args:
        rgb: uint8 [H, W, 3].
    """
    factor = max(1.0, min(rgb.shape[:2]) / _LOOKED_AT_PX)
    size = (max(1, round(rgb.shape[1] / factor)), max(1, round(rgb.shape[0] / factor)))
    small = rgb if factor == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    spread = small.max(axis=2) - small.min(axis=2)
    return float((spread > _MOST_ROUNDING).mean()) > _LEAST_COLOURED


@pillow_warnings_as_errors()
def _pixels(data: bytes, decoded: Decoded) -> tuple[Pixels, Pixels | None]:
    """Upright sRGB [H, W, 3] and alpha [H, W], of 8 or 16 bits."""
    if decoded.format == "JPEG":
        grey = decoded.mode == "L"
        return _of_grey_profile(decoded.rgb, read_header(data).profile) if grey else decoded.rgb, None
    if decoded.format == "BMP":  # Pillow does not open all that the strict decoder does
        return decoded.rgb, None
    try:
        with Image.open(io.BytesIO(data), formats=[decoded.format]) as picture:
            if is_deep(data, picture):
                return read_deep(data, picture, decoded.orientation)
            if picture.mode in _ALPHA_MODES or "transparency" in picture.info:
                return _with_alpha(picture)
    except PILLOW_ERRORS as error:
        raise ImageError("unsupported", one_line(error)) from error
    return decoded.rgb, None


def _with_alpha(picture: Image.Image) -> tuple[Pixels, Pixels]:
    profile = picture.info.get("icc_profile")
    opened = picture.convert("RGBA")
    upright = ImageOps.exif_transpose(opened)
    alpha = np.asarray(upright.getchannel("A"))
    rgb = upright.convert("RGB")
    return np.asarray(to_srgb(rgb, profile) if isinstance(profile, bytes) else rgb), alpha


def _of_grey_profile(rgb: Uint8, profile: bytes) -> Uint8:
    """The strict decoder takes greys of a JPEG for sRGB, as it has them as RGB when it looks at the profile."""
    if profile[16:20] != b"GRAY":
        return rgb
    return np.asarray(to_srgb(Image.fromarray(np.ascontiguousarray(rgb[..., 0])), profile))
