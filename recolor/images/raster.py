"""Every format but JPEG, by Pillow, with its warnings turned into verdicts."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recolor.errors import DecodeReason, ImageError
from recolor.images import bmp, png
from recolor.images.decoded import Decoded, check_size, upright, upright_size
from recolor.images.icc import to_srgb
from recolor.images.pillow import PILLOW_ERRORS, one_line, pillow_warnings_as_errors

# Pillow's other plugins start Ghostscript, or read formats that no photograph is kept in.
FORMATS = ("PNG", "WEBP", "TIFF", "BMP", "GIF")
_SIGNATURES = (png.SIGNATURE, b"GIF87a", b"GIF89a", bmp.SIGNATURE, b"II*\0", b"MM\0*")
_MAX_FRAMES = 2**31 - 1  # what the manifest holds; the header of a PNG may say one more


@pillow_warnings_as_errors()
def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decodes the first frame; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason.
    """
    if data.startswith(png.SIGNATURE):
        png.check(data, max_pixels)
    if data.startswith(bmp.SIGNATURE):
        bmp.check(data, max_pixels)
        if (decoded := bmp.decode_bitfields(data)) is not None:
            return decoded
    picture = _open(data)
    with picture:
        check_size(*picture.size, max_pixels)
        mode, orientation, profile = picture.mode, _orientation(picture), picture.info.get("icc_profile")
        rgb = _read_pixels(picture, profile if isinstance(profile, bytes) else b"")
        left_to_apply = _orientation(picture)  # upright by now if it is a TIFF: Pillow turns these as it loads them
        frames = _frames(picture)
    width_px, height_px = upright_size(rgb.shape[1], rgb.shape[0], left_to_apply)
    return Decoded(
        rgb=upright(rgb, left_to_apply),
        width_px=width_px,
        height_px=height_px,
        format=str(picture.format),
        mode=mode,
        frames=frames,
        orientation=orientation,
        icc=bool(profile),
    )


def from_picture(picture: Image.Image) -> NDArray[np.uint8]:
    """Upright sRGB of a picture that somebody has opened: its first frame or the one that it stands at.

    Returns:
        uint8 [H, W, 3], contiguous.

    Raises:
        ImageError: Its pixels cannot be read.
    """
    profile = picture.info.get("icc_profile")
    try:
        picture.load()
        rgb = _to_rgb(picture, profile if isinstance(profile, bytes) else b"")
    except PILLOW_ERRORS as error:
        raise ImageError(_reason(str(error)), one_line(error)) from error
    return upright(rgb, _orientation(picture))  # read after loading: Pillow has turned a TIFF by then


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except PILLOW_ERRORS as error:
        raise ImageError(_reason_unopened(data), one_line(error)) from error


def _read_pixels(picture: Image.Image, profile: bytes) -> NDArray[np.uint8]:
    try:
        picture.load()
        return _to_rgb(picture, profile)
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except PILLOW_ERRORS as error:
        raise ImageError(_reason(str(error)), one_line(error)) from error


def _orientation(picture: Image.Image) -> int:
    """Broken metadata is no verdict on the pixels: it counts as upright."""
    try:
        value = picture.getexif().get(0x0112, 1)
    except PILLOW_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _frames(picture: Image.Image) -> int:
    """As the header says; GIF and TIFF would have to be walked from frame to frame, so 2 is two or more there."""
    try:
        if picture.format in ("GIF", "TIFF"):
            return 2 if getattr(picture, "is_animated", False) else 1
        return min(int(getattr(picture, "n_frames", 1)), _MAX_FRAMES)
    except PILLOW_ERRORS:
        return 1


def _to_rgb(picture: Image.Image, profile: bytes) -> NDArray[np.uint8]:
    if picture.mode in ("I", "I;16", "I;16B", "I;16L", "I;16N", "F"):
        return _from_deep_grey(picture)
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        opaque = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    elif picture.mode not in ("RGB", "L", "CMYK"):
        picture = picture.convert("RGB")
    return np.array(to_srgb(picture, profile) if profile else picture.convert("RGB"))


def _from_deep_grey(picture: Image.Image) -> NDArray[np.uint8]:
    """Greys of 16 bits, rounded to 8."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ImageError("unsupported", f"greys from {values.min()} to {values.max()}: not 16 bits")
    grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _reason_unopened(data: bytes) -> DecodeReason:
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return "unsupported" if webp or data.startswith(_SIGNATURES) else "not_an_image"


def _reason(said: str) -> DecodeReason:
    said = said.lower()
    if any(word in said for word in ("truncated", "not enough", "end of file", "eof", "0 bytes not processed")):
        return "truncated"
    return "unsupported" if "unsupported" in said or "not supported" in said else "bad_entropy_data"
