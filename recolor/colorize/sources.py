"""What a `Colorizer` takes: Pillow images, NumPy arrays and paths of files, as upright sRGB pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from recolor.color.arrays import Pixels, Uint8, to_8_bits
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError, InputError
from recolor.images import decode, from_picture, read_bytes
from recolor.images.pillow import PILLOW_ERRORS
from recolor.paths import expand_user

Source = Image.Image | Pixels | Path | str

_ALPHA_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa")  # modes that Pillow converts to RGBA with alpha
_CHANNELS = (1, 3)


@dataclass(frozen=True, slots=True)
class Opened:
    """An image that is to be coloured.

    Attributes:
        pixels: Upright sRGB [H, W, 3], uint8 or uint16; not laid on white.
        alpha: Straight alpha, uint8 [H, W], or None.
        is_array: Whether it was given as an array, and its result is to be one.
    """

    pixels: Pixels
    alpha: Uint8 | None = None
    is_array: bool = False


def open_source(source: Source) -> Opened:
    """Returns the pixels of an image.

    Args:
        source: A picture of any size and mode; an array, uint8 or uint16 over its full range, [H, W], [H, W, 1] or
            [H, W, 3]; or the path of a file.

    Raises:
        InputError: It is no image, or an array of another shape or type.
        ImageError: The pixels of a picture or file cannot be read.
    """
    if isinstance(source, Image.Image):
        return _of_picture(source)
    if isinstance(source, np.ndarray):
        return Opened(_checked(source), is_array=True)
    if isinstance(source, (Path, str)):
        return _of_file(expand_user(Path(source)))
    raise InputError(
        f"a {type(source).__name__} cannot be coloured. Give a Pillow image, a NumPy array, or the path of a file."
    )


def _checked(array: Pixels) -> Pixels:
    """Returns an array as [H, W, 3].

    Raises:
        InputError: It has another shape or type than `open_source` allows.
    """
    given = f"an array {list(array.shape)} of {array.dtype}"
    if array.dtype not in (np.uint8, np.uint16):
        hint = ""
        if array.dtype.kind == "f":
            hint = " If its values are 0 to 1, give np.rint(255 * array).astype(np.uint8)."
        raise InputError(f"{given} cannot be coloured: its type must be uint8 or uint16.{hint}")
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)
    if not is_image or not array.size:
        hint = ""
        if array.ndim == 3 and array.shape[0] in _CHANNELS:
            hint = " Its channels come first; give np.moveaxis(array, 0, -1)."
        elif array.ndim == 3 and array.shape[2] in (2, 4):
            hint = " For alpha, give Image.fromarray(array)."
        shapes = "[height, width], [height, width, 1] or [height, width, 3]"
        raise InputError(f"{given} cannot be coloured: its shape must be {shapes}.{hint}")
    channels = array.reshape(*array.shape[:2], -1)
    return np.repeat(channels, 3, axis=2) if channels.shape[2] == 1 else channels


def _of_file(path: Path) -> Opened:
    limits = MeasureConfig()
    try:
        decoded = decode(read_bytes(path, limits), limits)
    except ImageError as error:
        raise ImageError(error.reason, f"{path}: {error.detail}") from error
    return Opened(decoded.pixels, None if decoded.alpha is None else to_8_bits(decoded.alpha))


def _of_picture(picture: Image.Image) -> Opened:
    rgb = from_picture(picture)
    if not picture.has_transparency_data or picture.mode not in _ALPHA_MODES:
        return Opened(rgb)
    opaque = _upright(picture).convert("RGBA")
    return Opened(from_picture(opaque.convert("RGB")), np.array(opaque.getchannel("A")))


def _upright(picture: Image.Image) -> Image.Image:
    """Applies the EXIF orientation; pictures with broken metadata count as upright."""
    try:
        return ImageOps.exif_transpose(picture)
    except PILLOW_ERRORS:
        return picture
