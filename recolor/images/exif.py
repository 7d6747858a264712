"""The one EXIF tag that pixels need."""

import struct

_ORIENTATION_TAG = 0x0112
_MAX_ENTRIES = 1000


def read_orientation(tiff: bytes) -> int:
    """Finds the orientation in an EXIF block. Broken metadata is no verdict on the pixels: it counts as upright.

    Args:
        tiff: The block from its TIFF header (`II*` or `MM*`) on.

    Returns:
        1..8.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(min(count, _MAX_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return int(value) if kind == 3 and 1 <= value <= 8 else 1  # 3 is SHORT
    except struct.error:
        return 1
    return 1
