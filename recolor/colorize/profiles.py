"""ICC profiles (ICC.1:2010): 16-bit conversion to sRGB, and the profile of the result.

Little CMS, through Pillow, only converts 8 bits a channel. For 16 bits, the curves and the matrix of a profile are
applied here. Grey and matrix profiles consist of nothing else for the relative colorimetric intent.
"""

import io
import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from recolor.color.arrays import Uint16, to_8_bits, to_16_bits
from recolor.images.icc import to_srgb

Float64Array = NDArray[np.float64]

_CODES = np.arange(65536) / 65535
_STRIP_PIXELS = 1 << 18
# Number of parameters of each function type of a parametric curve (10.16).
_PARAMETERS = (1, 3, 4, 5, 7)


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
    return profile if _is_srgb(profile) else srgb_profile()


@cache
def srgb_profile() -> bytes:
    """Returns Little CMS's sRGB profile.

    Its creation time is fixed, so that outputs are reproducible.
    """
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(made)


def to_srgb16(pixels: Uint16, profile: bytes) -> Uint16:
    """Converts 16-bit pixels from a profile to sRGB.

    Args:
        pixels: uint16 [H, W, 3], or [H, W, 1] for greys.
        profile: Profile of the photograph; empty if it has none.

    Returns:
        uint16 [H, W, 3]. Pixels are unchanged if the profile is broken or describes pixels of another kind. A profile
        with a lookup table instead of curves and a matrix is applied at 8 bits.
    """
    if not profile or _is_srgb(profile):
        return _as_rgb(pixels)
    grey = pixels.shape[2] == 1
    if profile[16:20] != (b"GRAY" if grey else b"RGB "):
        return _as_rgb(pixels)
    try:
        tags = _tags(profile)
        if profile[20:24] != b"XYZ " or tags.keys() & {b"A2B0", b"A2B1"}:
            return _by_table(pixels, profile)
        if grey:
            return _as_rgb(_encode(_curve(tags[b"kTRC"]))[pixels])
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        columns = [_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    except (KeyError, ValueError, IndexError, ZeroDivisionError, struct.error):
        return _by_table(pixels, profile)
    matrix = np.linalg.solve(_srgb_columns(), np.column_stack(columns)).astype(np.float64)
    return _mix(pixels, curves, matrix)


def _is_srgb(profile: bytes) -> bool:
    """Returns whether a profile is sRGB, by the rule of `recolor.images.icc`."""
    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    return profile[16:20] == b"RGB " and description.startswith("sRGB")


def _is_usable(profile: bytes, mode: str) -> bool:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    return True


def _as_rgb(pixels: Uint16) -> Uint16:
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _by_table(pixels: Uint16, profile: bytes) -> Uint16:
    mode = "L" if pixels.shape[2] == 1 else "RGB"
    if not _is_usable(profile, mode):
        return _as_rgb(pixels)
    rounded = to_8_bits(pixels)
    picture = Image.fromarray(rounded[..., 0] if mode == "L" else rounded)
    return to_16_bits(np.asarray(to_srgb(picture, profile)))


def _mix(pixels: Uint16, curves: list[Float64Array], matrix: Float64Array) -> Uint16:
    """Applies the curve of each channel, the matrix and the sRGB curve, strip by strip."""
    tables = [curve.astype(np.float32) for curve in curves]
    result = np.empty(pixels.shape, np.uint16)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, pixels.shape[0], rows):
        strip = pixels[top : top + rows]
        linear = np.stack([table[strip[..., channel]] for channel, table in enumerate(tables)], axis=2)
        result[top : top + rows] = _encode((linear @ matrix.T.astype(np.float32)).astype(np.float64))
    return result


def _encode(linear: Float64Array) -> Uint16:
    """Linear light as 16-bit sRGB (IEC 61966-2-1)."""
    linear = np.clip(linear, 0.0, 1.0)
    curve = np.where(linear > 0.0031308, 1.055 * np.power(linear, 1 / 2.4) - 0.055, 12.92 * linear)
    return np.asarray(np.rint(curve * 65535), np.uint16)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Returns the content of each tag by its signature (7.3)."""
    tags: dict[bytes, bytes] = {}
    for entry in range(min(struct.unpack_from(">I", profile, 128)[0], 100)):
        name, start, size = struct.unpack_from(">4sII", profile, 132 + 12 * entry)
        tags[name] = profile[start : start + size]
    return tags


def _xyz(tag: bytes) -> Float64Array:
    """Returns a column of the matrix, stored as s15Fixed16 (10.27)."""
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


@cache
def _srgb_columns() -> Float64Array:
    tags = _tags(srgb_profile())
    return np.column_stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")])


def _curve(tag: bytes) -> Float64Array:
    """Returns the linear light of each of the 65,536 values.

    Raises:
        ValueError: The tag is not a curve.
        struct.error: The tag is truncated.
    """
    (count,) = struct.unpack_from(">I", tag, 8)
    if tag[:4] == b"para":
        return _parametric(count >> 16, tag)
    if tag[:4] != b"curv":
        raise ValueError(f"{tag[:4]!r} is not a curve")
    if count == 0:
        return _CODES
    values = np.array(struct.unpack_from(f">{count}H", tag, 12))
    if count == 1:
        return np.asarray(_CODES ** (values[0] / 256))  # u8Fixed8
    return np.interp(_CODES, np.linspace(0, 1, count), values / 65535)


def _parametric(function: int, tag: bytes) -> Float64Array:
    """Evaluates a parametric curve of type 0 to 4 (10.16, table 65).

    It is a power from d on and a line below.
    """
    count = _PARAMETERS[function]
    given = np.array(struct.unpack_from(f">{count}i", tag, 12)) / 65536
    g, a, b, c, d, e, f = _with_defaults(function, [float(value) for value in given])
    power = np.power(np.maximum(a * _CODES + b, 0), g) + e
    return np.clip(np.where(d > _CODES, c * _CODES + f, power), 0, 1)


def _with_defaults(function: int, given: list[float]) -> tuple[float, ...]:
    """Returns g, a, b, c, d, e, f of the curve: `(a x + b)^g + e` from d on, `c x + f` below."""
    match function:
        case 0:
            return given[0], 1, 0, 0, 0, 0, 0
        case 1:
            g, a, b = given
            return g, a, b, 0, -b / a, 0, 0
        case 2:
            g, a, b, c = given
            return g, a, b, 0, -b / a, c, c
        case 3:
            return *given, 0, 0
        case _:
            return tuple(given)
