"""What PNG chunks hold, as far as its form is fixed: length, codes and separators (ISO/IEC 15948, section 11).

Values that no pixel depends on (times, texts) are not judged. What chromaticities and gamma may be says `png_color`.
"""

import re

_LENGTHS = {
    b"IHDR": 13, b"IEND": 0, b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, b"pHYs": 9, b"tIME": 7, b"oFFs": 9, b"sTER": 1,
    b"cICP": 4, b"mDCV": 24, b"cLLI": 8, b"acTL": 8, b"fcTL": 26, b"gIFg": 4,
}  # fmt: skip
_LENGTHS_BY_COLOUR = {
    b"sBIT": {0: 1, 2: 3, 3: 3, 4: 2, 6: 4},
    b"bKGD": {0: 2, 2: 6, 3: 1, 4: 2, 6: 6},
    b"tRNS": {0: 2, 2: 6},
}
_HIGHEST_LAST = {b"sTER": 1, b"oFFs": 1, b"pHYs": 1, b"sRGB": 3}  # the last byte is a mode: the highest defined one
_NAME_BYTES = range(1, 80)
_SUGGESTED_BYTES = {8: 6, 16: 10}  # of an entry of sPLT, by the depth of its samples
_PARAMETERS = {0: 2, 1: 3, 2: 3, 3: 4}  # of each equation of pCAL
_POSITIVE = rb"\+?(?=[\d.]*[1-9])(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_SCALE = re.compile(rb"[\x01\x02]" + _POSITIVE + rb"\0" + _POSITIVE)


def fits(kind: bytes, body: memoryview, header: bytes, palette: int) -> bool:
    """Whether the content of a chunk has the form that the standard gives it.

    Args:
        kind: Type of the chunk.
        body: Its content.
        header: Content of IHDR; `body` itself if the chunk is that one.
        palette: Number of palette entries so far.
    """
    size = len(body)
    if size != _LENGTHS.get(kind, size):
        return False
    depth, colour = header[8], header[9]
    if size != _LENGTHS_BY_COLOUR.get(kind, {}).get(colour, size):
        return False
    match kind:
        case b"PLTE":
            good = size % 3 == 0 and colour not in (0, 4) and 1 <= palette <= (1 << depth if colour == 3 else 256)
        case b"tRNS":
            good = colour in (0, 2) or (colour == 3 and size <= palette)
        case b"bKGD":
            good = colour != 3 or body[0] < palette
        case b"hIST":
            good = size == 2 * palette
        case b"sCAL":
            good = _SCALE.fullmatch(body) is not None
        case b"sPLT":
            good = _is_suggested_palette(*_name_and_rest(body))
        case b"pCAL":
            good = _is_calibration(*_name_and_rest(body))
        case _:
            good = kind not in _HIGHEST_LAST or body[-1] <= _HIGHEST_LAST[kind]
    return good


def _name_and_rest(body: memoryview) -> tuple[bytes, bytes]:
    name, _, rest = bytes(body).partition(b"\0")
    return name, rest


def _is_suggested_palette(name: bytes, rest: bytes) -> bool:
    entry_bytes = _SUGGESTED_BYTES.get(rest[0]) if rest else None
    return len(name) in _NAME_BYTES and entry_bytes is not None and (len(rest) - 1) % entry_bytes == 0


def _is_calibration(name: bytes, rest: bytes) -> bool:
    if len(name) not in _NAME_BYTES or len(rest) < 10:
        return False
    equation, parameters = rest[8:10]
    return parameters == _PARAMETERS.get(equation) and rest.count(b"\0", 10) == parameters
