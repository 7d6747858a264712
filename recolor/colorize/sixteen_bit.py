"""Photographs of 16 bits a channel, with all of them: the strict decoder rounds to 8."""

import io
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from recolor.color.depth import Uint16
from recolor.colorize.exif import upright_tiff
from recolor.colorize.profiles import to_srgb16
from recolor.errors import ImageError
from recolor.images.decoded import upright
from recolor.images.pillow import PILLOW_ERRORS, one_line

_BITS_OF_PNG = 24  # the byte of IHDR that says so
_GREYS = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_COLOURS = ("RGB", "RGBA", "RGBX", "RGBa", "LA")
_MIN_IS_WHITE = 0
_SEPARATE_PLANES = 2
_ASSOCIATED_ALPHA = 1
_OPAQUE = 65535


def is_deep(data: bytes, picture: Image.Image) -> bool:
    """Whether the channels have 16 bits: greys or colours of a PNG or TIFF."""
    if picture.format == "PNG":
        return data[_BITS_OF_PNG] == 16
    if picture.format != "TIFF":
        return False
    return picture.mode in _GREYS or (picture.mode in _COLOURS and set(_tag(picture, "BitsPerSample", ())) == {16})


def read_deep(data: bytes, picture: Image.Image, orientation: int) -> tuple[Uint16, Uint16 | None]:
    """Reads pixels of a file that `is_deep`, and that the strict decoder has accepted.

    Args:
        data: The file.
        picture: The same, opened by Pillow.
        orientation: 1..8, of the file.

    Returns:
        sRGB uint16 [H, W, 3] and straight alpha [H, W] or None, upright.

    Raises:
        ImageError: `unsupported`: 16 bits in separate planes, or in a form that OpenCV does not read.
    """
    if picture.format == "TIFF":
        if _tag(picture, "PlanarConfiguration", 1) == _SEPARATE_PLANES and picture.mode not in _GREYS:
            raise ImageError("unsupported", "16 bits a channel in separate planes")
        data = upright_tiff(data)  # some versions of the decoders turn the pixels as the tag says
    stored, alpha = _greys(data, picture) if picture.mode in _GREYS else _colours(data, picture)
    profile = picture.info.get("icc_profile")
    rgb = to_srgb16(_upright(stored, orientation), profile if isinstance(profile, bytes) else b"")
    return rgb, None if alpha is None else _upright(alpha[..., None], orientation)[..., 0]


def _upright(pixels: Uint16, orientation: int) -> Uint16:
    """As `upright`, which moves the two bytes of each channel together."""
    return upright(np.ascontiguousarray(pixels).view(np.uint8), orientation).view(np.uint16)


def _greys(data: bytes, picture: Image.Image) -> tuple[Uint16, Uint16 | None]:
    """Values [H, W, 1], and alpha where one value means transparent."""
    try:
        with Image.open(io.BytesIO(data), formats=[str(picture.format)]) as opened:
            values = np.asarray(opened).astype(np.uint16)
    except PILLOW_ERRORS as error:
        raise ImageError("unsupported", one_line(error)) from error
    if picture.format == "TIFF" and _tag(picture, "PhotometricInterpretation", 1) == _MIN_IS_WHITE:
        values = np.uint16(_OPAQUE) - values
    return values[..., None], _alpha_of_key(values[..., None], picture.info.get("transparency"))


def _colours(data: bytes, picture: Image.Image) -> tuple[Uint16, Uint16 | None]:
    """Values [H, W, 3], and alpha where there is some."""
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
    """Alpha of a PNG that names one value transparent (tRNS)."""
    if not isinstance(key, int | tuple):
        return None
    return np.where((values == np.array(key)).all(axis=2), 0, _OPAQUE).astype(np.uint16)


def _tag(picture: Image.Image, name: str, default: Any) -> Any:
    assert isinstance(picture, TiffImageFile)
    return picture.tag_v2.get(ExifTags.Base[name], default)
