"""ICC profiles (ICC.1:2010): pixels to sRGB, and the profile of what is written."""

import io
import struct
from functools import cache, lru_cache

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from recolor.color.arrays import Pixels, to_8_bits, to_16_bits

# Without its one-pixel cache a transform may be used by several threads at once (Little CMS manual, cmsFLAGS_NOCACHE).
_FLAGS = ImageCms.Flags.NOCACHE
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_PATCHES = np.stack(np.meshgrid(*[np.array([0, 64, 128, 192, 255], np.uint8)] * 3), axis=-1).reshape(25, 5, 3)
_SAME = 8  # levels of 255: profiles of sRGB differ by their black point and the precision of their curves
_MODES = {3: "RGB", 4: "CMYK"}  # in Pillow's words, by the number of channels
_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}  # as a profile names them
# With 16 bits Little CMS would mix from a table of few points unless told not to: up to 4,400 of 65,535 off.
_FLAGS_16 = imagecodecs.CMS.FLAGS.NOOPTIMIZE | imagecodecs.CMS.FLAGS.NOCACHE
_NEUTRAL = 4  # levels of 65,535 by which greys of Little CMS differ in red, green and blue
_SPACES_16 = {1: "minisblack", 3: "rgb", 4: "cmyk"}  # in imagecodecs' words


def to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """Converts pixels to sRGB, relative colorimetric.

    Args:
        pixels: uint8 or uint16 [H, W, C]: grey (C = 1), RGB (3) or CMYK (4, the full range is full ink).
        profile: Their ICC profile, or nothing.

    Returns:
        The dtype of `pixels`, [H, W, 3]. A profile that is damaged or of other channels is ignored; grey and RGB are
        sRGB then.
    """
    channels = pixels.shape[2]
    if profile[16:20] == _SPACES[channels]:
        converted = _convert_16(pixels, profile) if pixels.dtype == np.uint16 else _convert_8(pixels, profile)
        if converted is not None:
            return converted
    return _without_profile(pixels)


@lru_cache(maxsize=32)
def is_srgb(profile: bytes) -> bool:
    """Whether a profile of RGB pixels calls itself sRGB and leaves colours about as they are.

    Some with linear values have names such as `sRGB-elle-V2-g10.icc`.
    """
    if profile[16:20] != b"RGB ":
        return False
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if not ImageCms.getProfileDescription(source).startswith("sRGB"):
            return False
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB", _INTENT, _FLAGS)
        seen = np.asarray(ImageCms.applyTransform(Image.fromarray(_PATCHES), transform))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    return int(np.abs(seen.astype(int) - _PATCHES).max()) <= _SAME


def profile_of_result(profile: bytes) -> bytes:
    """Returns the profile to write into a file of sRGB pixels.

    Args:
        profile: Profile of the photograph; empty if it has none.

    Returns:
        Empty if the photograph has no profile, since viewers assume sRGB; the photograph's profile if it is an sRGB
        profile of RGB pixels; otherwise a plain sRGB profile. A grey or CMYK profile cannot describe the colours, and
        another RGB profile would change them.
    """
    if not profile:
        return b""
    return profile if is_srgb(profile) else srgb_profile()


@cache
def srgb_profile() -> bytes:
    """Returns Little CMS's sRGB profile.

    Its creation time is fixed, so that outputs are reproducible.
    """
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(made)


def _convert_8(pixels: Pixels, profile: bytes) -> NDArray[np.uint8] | None:
    if pixels.shape[2] == 1:
        greys = _greys(profile)
        return None if greys is None else greys[pixels[..., 0]]
    mode = _MODES[pixels.shape[2]]
    transform = _transform(profile, mode)
    if transform is None:
        return None
    return np.asarray(ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(pixels), mode), transform))


@lru_cache(maxsize=32)
def _greys(profile: bytes) -> NDArray[np.uint8] | None:
    """Returns sRGB of the 256 greys, [256, 3]: with 8 bits Little CMS is up to 10 of 255 off in a dark linear grey."""
    converted = _convert_16(to_16_bits(np.arange(256, dtype=np.uint8)[:, None, None]), profile)
    if converted is None:
        return None
    neutral = np.ptp(converted, axis=-1).max() <= _NEUTRAL
    return to_8_bits(np.repeat(converted[..., 1:2], 3, axis=-1) if neutral else converted).reshape(256, 3)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    if is_srgb(profile):
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", _INTENT, _FLAGS)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _convert_16(pixels: Pixels, profile: bytes) -> NDArray[np.uint16] | None:
    if is_srgb(profile):
        return None
    grey = pixels.shape[2] == 1
    try:
        converted: NDArray[np.uint16] = imagecodecs.cms_transform(
            np.ascontiguousarray(pixels[..., 0] if grey else pixels),
            profile,
            srgb_profile(),
            colorspace=_SPACES_16[pixels.shape[2]],
            outcolorspace="rgb",
            intent=_INTENT,
            flags=_FLAGS_16,
        )
    except imagecodecs.CmsError:
        return None
    return converted


def _without_profile(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 3:
        return pixels
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels), "CMYK").convert("RGB"))
    highest = np.uint32(np.iinfo(pixels.dtype).max)
    free = highest - pixels.astype(np.uint32)
    mixed = free[..., :3].astype(np.uint64) * free[..., 3:] + highest // 2
    return (mixed // highest).astype(pixels.dtype)
