"""Colour spaces that a file describes by codes (ITU-T H.273) or by gamma and chromaticities, as ICC profiles.

Little CMS converts pixels by the profile, as it does where the file has one. What has no such profile, because it is of
high dynamic range, is refused by name.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recolor.color.arrays import Floats
from recolor.errors import ImageError

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_D50_XYZ = (0.9642, 1.0, 0.8249)  # the white of a profile (ICC.1:2022, 7.2.16)
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))  # annex E
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # g, a, b, c, d of the function 3 (10.18)
_POWER, _POWER_AND_LINE = 0, 3
_EXPONENTS = (0.1, 10.0)  # the powers that light may be of samples
# 0.45, 0.4545 and 0.455 are ways to write 1/2.2, which PNGs use for sRGB. Its curve is meant.
_SRGB_GAMMAS = (0.45, 0.459)
_SAME_XY = 0.001  # chromaticities are rounded to three or four digits


@dataclass(frozen=True, slots=True)
class ColorSpace:
    """A colour space of three primaries.

    Attributes:
        xy: CIE 1931 chromaticities: white x, y, red x, y, green x, y, blue x, y.
        exponent: The power of a sample that its light is; None for the curve of sRGB.
    """

    xy: tuple[float, ...]
    exponent: float | None = None


SRGB = ColorSpace((*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060))

_UNSPECIFIED = 2
_PRIMARIES = {  # H.273, table 2
    1: SRGB.xy,
    _UNSPECIFIED: SRGB.xy,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (*_DCI, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
# H.273, table 3. The curves of BT.709, BT.601 and BT.2020 are those of cameras; what is meant for screens has about the
# curve of sRGB, which Chromium takes for them. Its own inverse would show every still that is tagged so too bright.
_EXPONENTS_BY_CODE = {_UNSPECIFIED: None, 1: None, 6: None, 13: None, 14: None, 15: None, 4: 2.2, 5: 2.8, 8: 1.0}
_HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}


def from_codes(primaries: int, transfer: int) -> ColorSpace:
    """Returns the colour space of two codes of H.273; unspecified ones are those of sRGB.

    Raises:
        ImageError: `unsupported`: high dynamic range, or a code that is not known.
    """
    codes = f"(ITU-T H.273: primaries {primaries}, transfer {transfer})"
    if name := _HIGH_DYNAMIC_RANGE.get(transfer):
        raise ImageError("unsupported", f"high dynamic range, {name} {codes}: convert it to sRGB")
    if transfer not in _EXPONENTS_BY_CODE or primaries not in _PRIMARIES:
        raise ImageError("unsupported", f"colours of a kind that is not known {codes}: convert it to sRGB")
    return ColorSpace(_PRIMARIES[primaries], _EXPONENTS_BY_CODE[transfer])


def from_gamma(gamma: float | None, xy: tuple[float, ...] | None) -> ColorSpace | None:
    """Returns the colour space of a PNG's gAMA and cHRM.

    Args:
        gamma: The power of light that samples are; None for the curve of sRGB.
        xy: Chromaticities as in `ColorSpace`; None for those of sRGB.

    Returns:
        `SRGB` if they differ from it by rounding; None if there can be no such colours.
    """
    if xy is None or np.allclose(xy, SRGB.xy, rtol=0, atol=_SAME_XY):
        xy = SRGB.xy
    if gamma is None or (xy == SRGB.xy and _SRGB_GAMMAS[0] <= gamma <= _SRGB_GAMMAS[1]):
        space = ColorSpace(xy)
    elif gamma > 0 and _EXPONENTS[0] <= 1 / gamma <= _EXPONENTS[1]:
        space = ColorSpace(xy, 1 / gamma)
    else:
        return None
    return None if _columns(xy) is None else space


@lru_cache(maxsize=32)
def icc_profile(space: ColorSpace, *, grey: bool) -> bytes:
    """Returns an ICC profile (ICC.1:2022) of the colour space, or nothing if it is sRGB.

    Args:
        space: One that `from_codes` or `from_gamma` has returned.
        grey: Whether pixels have one channel; its profile holds the curve alone.
    """
    if space == SRGB or (grey and space.exponent is None):
        return b""
    curve = _parametric(_POWER_AND_LINE, _SRGB_CURVE) if space.exponent is None else _power(space.exponent)
    if grey:
        return _profile(b"GRAY", [(b"kTRC", curve)])
    columns = _columns(space.xy)
    assert columns is not None
    colorants = [b"XYZ \0\0\0\0" + _fixed(column) for column in columns.T]
    names = zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)
    return _profile(b"RGB ", [*names, *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC"))])


def _columns(xy: tuple[float, ...]) -> Floats | None:
    """Returns XYZ of the primaries, adapted to D50, as columns [3, 3]; None if these cannot mix white."""
    points = np.array(xy).reshape(4, 2)
    if points[:, 1].min() <= 0 or points.min() < 0 or points.sum(axis=1).max() > 1 + _SAME_XY:
        return None
    white, *primaries = (np.array((x / y, 1.0, (1 - x - y) / y)) for x, y in points)
    unscaled = np.stack(primaries, axis=1)
    if abs(np.linalg.det(unscaled)) < _SAME_XY:
        return None
    shares = np.linalg.solve(unscaled, white)
    if shares.min() <= 0:
        return None
    adapted = _BRADFORD @ (unscaled * shares)
    scales = (_BRADFORD @ np.array(_D50_XYZ)) / (_BRADFORD @ white)
    columns: Floats = np.linalg.solve(_BRADFORD, scales[:, None] * adapted)
    return columns


def _power(exponent: float) -> bytes:
    return _parametric(_POWER, (exponent,))


def _parametric(function: int, values: tuple[float, ...]) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", function, 0) + _fixed(values)


def _fixed(values: tuple[float, ...] | Floats) -> bytes:
    """Returns numbers of 16 bits before and 16 behind the point (s15Fixed16Number)."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """Returns a display profile of version 4.3 with these tags."""
    start = 132 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags:
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body
    size = struct.pack(">I", start + len(bodies))
    head = size + struct.pack(">4xI4s4s4s12x4s28x", 0x04300000, b"mntr", space, b"XYZ ", b"acsp")
    return head + _fixed(_D50_XYZ) + bytes(48) + table + bodies
