"""Whether the compressed rows of a PNG are all there and well-formed (ISO/IEC 15948, sections 7 to 10)."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from recolor.errors import ImageError

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Adam7: first column, first row, column step, row step of each pass.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_FILTERS = 5
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """What IHDR says of the rows."""

    width_px: int
    height_px: int
    bits: int
    interlaced: bool

    @classmethod
    def of(cls, header: bytes) -> "Layout":
        """Reads the content of IHDR.

        Raises:
            ImageError: It names a colour type, depth or method that there is not.
        """
        width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
        if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
            raise ImageError("bad_entropy_data", f"IHDR: colour type {colour} of {depth} bits, or its methods")
        return cls(width, height, depth * _CHANNELS[colour], bool(interlace))

    def rows(self) -> Iterator[tuple[int, int]]:
        """Number of rows and bytes of one, its filter byte included, of each pass."""
        for x, y, dx, dy in _PASSES if self.interlaced else ((0, 0, 1, 1),):
            columns, rows = -(-(self.width_px - x) // dx), -(-(self.height_px - y) // dy)
            if columns > 0 and rows > 0:
                yield rows, 1 + (columns * self.bits + 7) // 8


def check_pixels(layout: Layout, packed: bytearray) -> None:
    """Inflates the rows, a block at a time, and looks at each row's filter byte. What follows the rows is passed over.

    Raises:
        ImageError: `bad_entropy_data` or `truncated`.
    """
    expected = sum(rows * row_bytes for rows, row_bytes in layout.rows())
    position, starts = 0, _row_starts(layout)
    start = next(starts, None)
    for block in _inflate(packed):
        end = position + len(block)
        while start is not None and start < end:
            if block[start - position] >= _FILTERS:
                raise ImageError("bad_entropy_data", f"no row filter is called {block[start - position]}")
            start = next(starts, None)
        position = end
        if position > expected:
            return
    if position < expected:
        raise ImageError("truncated", "rows are missing")


def _row_starts(layout: Layout) -> Iterator[int]:
    start = 0
    for rows, row_bytes in layout.rows():
        yield from range(start, start + rows * row_bytes, row_bytes)
        start += rows * row_bytes


def _inflate(packed: bytearray) -> Iterator[bytes]:
    """The inflated bytes in blocks of bounded size, up to the end of the stream."""
    stream = zlib.decompressobj()
    try:
        for start in range(0, len(packed), _BLOCK_BYTES):
            rest: bytes | memoryview = memoryview(packed)[start : start + _BLOCK_BYTES]
            while rest and not stream.eof:
                yield stream.decompress(rest, _BLOCK_BYTES)
                rest = stream.unconsumed_tail
        yield stream.flush()
    except zlib.error as error:
        raise ImageError("bad_entropy_data", str(error)) from error
