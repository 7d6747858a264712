"""Colours of a profile to sRGB. A profile that cannot be used leaves the pixels as they are."""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# Without its one-pixel cache a transform may be used by several threads at once (Little CMS manual, cmsFLAGS_NOCACHE).
_FLAGS = ImageCms.Flags.NOCACHE
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC


def to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Converts a picture of mode RGB, L or CMYK to sRGB.

    Returns:
        The picture in mode RGB; if the profile is broken, or of another mode, simply converted without it.
    """
    transform = _transform(profile, picture.mode)
    if transform is None:
        return picture.convert("RGB")
    converted = ImageCms.applyTransform(picture, transform)
    return picture.convert("RGB") if converted is None else converted


def array_to_srgb(rgb: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """As `to_srgb`, for uint8 [H, W, 3]."""
    if _transform(profile, "RGB") is None:
        return rgb
    return np.asarray(to_srgb(Image.fromarray(rgb), profile))


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode == "RGB" and ImageCms.getProfileDescription(source).startswith("sRGB"):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", _INTENT, _FLAGS)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
