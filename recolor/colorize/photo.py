"""Reads a photograph for colouring: lightness, alpha, 16-bit depth and metadata."""

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from recolor.color.arrays import Pixels, Uint8, Uint16, to_8_bits
from recolor.color.gamut import lightness_of
from recolor.colorize.exif import upright_tiff
from recolor.colorize.metadata import Metadata, read_metadata
from recolor.colorize.profiles import to_srgb16
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import Decoded, decode
from recolor.images.decoded import upright
from recolor.images.icc import to_srgb
from recolor.images.jpeg import read_header
from recolor.images.pillow import PILLOW_ERRORS, one_line, pillow_warnings_as_errors

Float32Array = NDArray[np.float32]

_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_BIT_DEPTH_BYTE = 24  # position of the bit depth in a PNG: in IHDR
_GREY_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_COLOUR_MODES = ("RGB", "RGBA", "RGBX", "RGBa", "LA")
_MIN_IS_WHITE = 0
_SEPARATE_PLANES = 2
_ASSOCIATED_ALPHA = 1
_OPAQUE = 65535


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
    """

    L: Float32Array
    alpha: Pixels | None
    is_16_bit: bool
    had_colour: bool
    original: Uint8 | None
    format: str
    frames: int
    metadata: Metadata


def read_photo(data: bytes, limits: MeasureConfig, *, keep_original: bool = False) -> Photo:
    """Decodes strictly, as `recolor.images.decode` does, but keeps 16 bits, alpha and metadata.

    Args:
        data: Bytes of the file.
        limits: Size limits; a larger file is not decoded.
        keep_original: Whether to keep the colours in `Photo.original`.

    Raises:
        ImageError: The file cannot be decoded.
    """
    decoded = decode(data, limits)
    rgb, alpha = _pixels(data, decoded)
    rgb_8_bit = to_8_bits(rgb)
    coloured = has_colour(rgb_8_bit)
    return Photo(
        L=lightness_of(rgb),
        alpha=alpha,
        is_16_bit=rgb.dtype == np.uint16,
        had_colour=coloured,
        original=rgb_8_bit if coloured and keep_original else None,
        format=decoded.format,
        frames=decoded.frames,
        metadata=read_metadata(data, decoded),
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


@pillow_warnings_as_errors()
def _pixels(data: bytes, decoded: Decoded) -> tuple[Pixels, Pixels | None]:
    """Returns upright sRGB [H, W, 3] and alpha [H, W] or None, uint8 or uint16."""
    if decoded.format == "JPEG":
        grey = decoded.mode == "L"
        return _apply_grey_profile(decoded.rgb, read_header(data).profile) if grey else decoded.rgb, None
    if decoded.format == "BMP":  # Pillow opens fewer kinds of BMP than the strict decoder
        return decoded.rgb, None
    try:
        with Image.open(io.BytesIO(data), formats=[decoded.format]) as picture:
            if _is_16_bit(data, picture):
                return _read_16_bit(data, picture, decoded.orientation)
            if picture.mode in _ALPHA_MODES or "transparency" in picture.info:
                return _with_alpha(picture)
    except PILLOW_ERRORS as error:
        raise ImageError("unsupported", one_line(error)) from error
    return decoded.rgb, None


def _with_alpha(picture: Image.Image) -> tuple[Pixels, Pixels]:
    profile = picture.info.get("icc_profile")
    opened = picture.convert("RGBA")
    turned = ImageOps.exif_transpose(opened)
    alpha = np.asarray(turned.getchannel("A"))
    rgb = turned.convert("RGB")
    return np.asarray(to_srgb(rgb, profile) if isinstance(profile, bytes) else rgb), alpha


def _apply_grey_profile(rgb: Uint8, profile: bytes) -> Uint8:
    """Converts greys by their ICC profile.

    The strict decoder applies profiles only to colour JPEGs.
    """
    if profile[16:20] != b"GRAY":
        return rgb
    return np.asarray(to_srgb(Image.fromarray(np.ascontiguousarray(rgb[..., 0])), profile))


def _is_16_bit(data: bytes, picture: Image.Image) -> bool:
    """Returns whether a PNG or TIFF has 16 bits a channel, grey or colour."""
    if picture.format == "PNG":
        return data[_BIT_DEPTH_BYTE] == 16
    if picture.format != "TIFF":
        return False
    return picture.mode in _GREY_MODES or (
        picture.mode in _COLOUR_MODES and set(_tag(picture, "BitsPerSample", ())) == {16}
    )


def _read_16_bit(data: bytes, picture: Image.Image, orientation: int) -> tuple[Uint16, Uint16 | None]:
    """Reads the pixels of a 16-bit file at full depth; the strict decoder rounds them to 8 bits.

    Args:
        data: Bytes of a file that the strict decoder has accepted.
        picture: The same file, opened by Pillow.
        orientation: EXIF orientation of the file, 1..8.

    Returns:
        Upright sRGB uint16 [H, W, 3], and straight alpha [H, W] or None.

    Raises:
        ImageError: `unsupported`: the channels are stored in separate planes, or in a form that OpenCV does not read.
    """
    if picture.format == "TIFF":
        if _tag(picture, "PlanarConfiguration", 1) == _SEPARATE_PLANES and picture.mode not in _GREY_MODES:
            raise ImageError("unsupported", "16 bits a channel in separate planes")
        data = upright_tiff(data)  # some versions of the decoders apply the orientation tag themselves
    stored, alpha = _greys(data, picture) if picture.mode in _GREY_MODES else _colours(data, picture)
    profile = picture.info.get("icc_profile")
    rgb = to_srgb16(_upright(stored, orientation), profile if isinstance(profile, bytes) else b"")
    return rgb, None if alpha is None else _upright(alpha[..., None], orientation)[..., 0]


def _upright(pixels: Uint16, orientation: int) -> Uint16:
    """Applies `upright` to a view of the pixels as pairs of bytes, which stay together."""
    return upright(np.ascontiguousarray(pixels).view(np.uint8), orientation).view(np.uint16)


def _greys(data: bytes, picture: Image.Image) -> tuple[Uint16, Uint16 | None]:
    """Returns values [H, W, 1], and alpha if the file declares one value transparent."""
    try:
        with Image.open(io.BytesIO(data), formats=[str(picture.format)]) as opened:
            values = np.asarray(opened).astype(np.uint16)
    except PILLOW_ERRORS as error:
        raise ImageError("unsupported", one_line(error)) from error
    if picture.format == "TIFF" and _tag(picture, "PhotometricInterpretation", 1) == _MIN_IS_WHITE:
        values = np.uint16(_OPAQUE) - values
    return values[..., None], _alpha_of_key(values[..., None], picture.info.get("transparency"))


def _colours(data: bytes, picture: Image.Image) -> tuple[Uint16, Uint16 | None]:
    """Returns values [H, W, 3], and alpha if the file has it."""
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16 or read.ndim != 3 or sorted(read.shape[:2]) != sorted(picture.size):
        raise ImageError("unsupported", f"16 bits a channel in a form that cannot be read: {picture.mode}")
    values = read.astype(np.uint16, copy=False)
    rgb = np.ascontiguousarray(values[..., 2::-1])
    key = picture.info.get("transparency")
    if key is not None:
        return rgb, _alpha_of_key(rgb, key)
    if picture.mode not in ("RGBA", "RGBa", "LA"):
        return rgb, None
    alpha = np.ascontiguousarray(values[..., 3])
    if picture.format == "TIFF" and _ASSOCIATED_ALPHA in _tag(picture, "ExtraSamples", ()):
        rgb = np.minimum(rgb * (_OPAQUE / np.maximum(alpha, 1)[..., None]) + 0.5, _OPAQUE).astype(np.uint16)
    return rgb, alpha


def _alpha_of_key(values: Uint16, key: object) -> Uint16 | None:
    """Returns the alpha of a PNG with one transparent value (tRNS), or None without one."""
    if not isinstance(key, int | tuple):
        return None
    return np.where((values == np.array(key)).all(axis=2), 0, _OPAQUE).astype(np.uint16)


def _tag(picture: Image.Image, name: str, default: Any) -> Any:
    assert isinstance(picture, TiffImageFile)
    return picture.tag_v2.get(ExifTags.Base[name], default)
