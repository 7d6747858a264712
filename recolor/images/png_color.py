"""What the samples of a PNG mean: cICP, iCCP, sRGB, or gAMA and cHRM, the first of these that counts (section 4.3)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from recolor.errors import ImageError
from recolor.images.color_space import ColorSpace, from_codes, from_gamma

_UNIT = 100_000  # of gAMA and cHRM
_RGB_MATRIX = 0


@dataclass(frozen=True, slots=True)
class Description:
    """The colour space of a PNG, and chunks that describe none.

    Attributes:
        space: None if the ICC profile says it, or nothing: sRGB then.
        unusable: Types of chunks that are to be ignored.
        said: What is wrong with them.
    """

    space: ColorSpace | None
    unusable: frozenset[bytes] = frozenset()
    said: str = ""


def describe_colors(kept: Sequence[tuple[bytes, bytes]]) -> Description:
    """Returns what chunks, given as type and content of the right length, say of the colours.

    Raises:
        ImageError: `unsupported`: of high dynamic range, of a kind that is not known, or of narrow range.
    """
    bodies = dict(reversed(kept))
    if b"cICP" in bodies:
        primaries, transfer, matrix, full_range = bodies[b"cICP"]
        if matrix == _RGB_MATRIX and full_range <= 1:
            if not full_range:
                raise ImageError("unsupported", "PNG of narrow range (cICP): convert it to full range")
            return Description(from_codes(primaries, transfer))
        without = describe_colors([chunk for chunk in kept if chunk[0] != b"cICP"])
        said = f"a cICP chunk of matrix {matrix} and range {full_range}, which no PNG has"
        return Description(without.space, without.unusable | {b"cICP"}, said)
    if b"iCCP" in bodies or b"sRGB" in bodies or not {b"gAMA", b"cHRM"} & bodies.keys():
        return Description(None)
    return _of_gamma(bodies.get(b"gAMA"), bodies.get(b"cHRM"))


def _of_gamma(gamma: bytes | None, chromaticities: bytes | None) -> Description:
    exponent = None if gamma is None else int.from_bytes(gamma) / _UNIT
    xy = None if chromaticities is None else tuple(value / _UNIT for value in struct.unpack(">8I", chromaticities))
    unusable, said = set(), []
    if from_gamma(exponent, None) is None:
        unusable.add(b"gAMA")
        said.append(f"a gAMA chunk of {exponent:g}, which no picture has")
        exponent = None
    if from_gamma(None, xy) is None:
        unusable.add(b"cHRM")
        said.append("a cHRM chunk of primaries that cannot be mixed to its white")
        xy = None
    return Description(from_gamma(exponent, xy), frozenset(unusable), "; ".join(said))
