"""Damaged files, as failing disks, broken downloads and faulty programs write them."""

from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
import simplejpeg
from PIL import Image

Damage = Callable[[bytes, np.random.Generator], bytes]

_START_OF_SCAN = b"\xff\xda"
_HTML = b"""<!DOCTYPE html>
<html><head><title>404 Not Found</title></head>
<body><h1>Not Found</h1><p>The photograph you asked for is no longer here.</p></body></html>
"""


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    """Keeps about the first half, as an interrupted download does."""
    return data[: int(len(data) * rng.uniform(0.4, 0.6))]


def make_marker(data: bytes, rng: np.random.Generator) -> bytes:
    """Changes two bytes of a JPEG's entropy-coded data to a marker, at which decoders stop."""
    start, size = scan_start(data), len(data) - scan_start(data)
    position = start + int(size * rng.uniform(0.3, 0.7))
    return data[:position] + b"\xff\xc4" + data[position + 2 :]


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """Flips bits of a JPEG's entropy-coded data, 24 at a time, until a strict decoder fails.

    Huffman codes resynchronise, so a few flipped bits can leave a file that decodes without a complaint.
    """
    damaged = bytearray(data)
    while True:
        for position in rng.integers(scan_start(data), len(data) - 2, 24):
            damaged[position] ^= 1 << int(rng.integers(8))
        try:
            simplejpeg.decode_jpeg(bytes(damaged), strict=True)
        except ValueError:
            return bytes(damaged)


def zero_tail(data: bytes, rng: np.random.Generator) -> bytes:
    """Fills the last part with zeros, as blocks that were never written to the disk."""
    kept = int(len(data) * rng.uniform(0.5, 0.8))
    return data[:kept] + bytes(len(data) - kept)


def keep_header(data: bytes, _: np.random.Generator) -> bytes:
    """Keeps the bytes before a JPEG's entropy-coded data."""
    return data[: scan_start(data)]


def make_empty(_: bytes, __: np.random.Generator) -> bytes:
    """Returns an empty file."""
    return b""


def save_web_page(_: bytes, __: np.random.Generator) -> bytes:
    """Returns an HTML error page, as a web server may send instead of a photograph."""
    return _HTML


def randomise(data: bytes, rng: np.random.Generator) -> bytes:
    """Returns random bytes of the same length."""
    return rng.bytes(len(data))


def damage_png(data: bytes, rng: np.random.Generator) -> bytes:
    """Saves the picture as PNG and changes bytes of its pixel data, so that checksums are wrong."""
    with Image.open(BytesIO(data)) as image, BytesIO() as file:
        image.save(file, "PNG", compress_level=1)
        png = bytearray(file.getvalue())
    start = png.index(b"IDAT") + 4
    for position in rng.integers(start + (len(png) - start) // 3, start + (len(png) - start) // 2, 8):
        png[position] ^= 0xFF
    return bytes(png)


def scan_start(data: bytes) -> int:
    """Returns the position of a JPEG's entropy-coded data (ITU-T T.81, B.2.3)."""
    marker = data.index(_START_OF_SCAN)
    return marker + 2 + int.from_bytes(data[marker + 2 : marker + 4], "big")


DAMAGES: Mapping[str, Damage] = {
    "truncated": truncate,
    "false_marker": make_marker,
    "bit_flips": flip_bits,
    "zero_tail": zero_tail,
    "header_only": keep_header,
    "empty": make_empty,
    "html": save_web_page,
    "random_bytes": randomise,
    "damaged_png": damage_png,
}
