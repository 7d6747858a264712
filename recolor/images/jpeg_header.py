"""The marker segments of a JPEG up to its first scan, and its scans (ITU-T T.81, annex B)."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recolor.errors import ImageError
from recolor.images.orientation import read_orientation

END = b"\xff\xd9"
SCAN = b"\xff\xda"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG, DAC
_SEQUENTIAL = (0xC0, 0xC1)  # SOF0 and SOF1, with Huffman coding
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])  # TEM, RST0..7
# What may stand between scans: DHT, SOS, DQT, DNL, DRI, APP0..15, COM.
_BETWEEN_SCANS = frozenset([0xC4, 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE])
_MARKER = re.compile(rb"\xff+[\x01-\xfe]")
_MARKER_OR_END = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # within a scan: no stuffed 0x00, TEM, RST, fill byte
_LINES = b"\xff\xdc\0\4"  # DNL, the number of lines behind the first scan
_BLOCK_PX = 8
_EXIF = b"Exif\x00\x00"
_ICC = b"ICC_PROFILE\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What precedes the first scan.

    Attributes:
        width_px, height_px: As stored, before the orientation is applied.
        components: Number of colour components.
        bits: Bits of a sample, 8 or 12.
        sequential: Whether it is a sequential JPEG.
        interleaved: Whether its first scan holds all components. A sequential JPEG is decoded block by block then, and
            takes memory for the decoded size alone.
        orientation: EXIF orientation, 1..8.
        profile: ICC profile, or nothing.
        scan: Position of the marker of the first scan.
        frame: Position of the body of the frame header.
        block_width_px, block_height_px: Size of the blocks (MCUs) that are coded one after the other.
        stray: Positions (start, end) of bytes between segments that belong to none.
    """

    width_px: int
    height_px: int
    components: int
    bits: int
    sequential: bool
    interleaved: bool
    orientation: int
    profile: bytes
    scan: int
    frame: int
    block_width_px: int
    block_height_px: int
    stray: tuple[tuple[int, int], ...]

    @property
    def blocks_across(self) -> int:
        """Number of blocks in a row."""
        return -(-self.width_px // self.block_width_px)

    @property
    def blocks_down(self) -> int:
        """Number of rows of blocks."""
        return -(-self.height_px // self.block_height_px)


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan: positions of its marker, of its entropy-coded bytes, and of what follows them."""

    marker: int
    start: int
    end: int


def read_header(data: bytes) -> Header:
    """Reads the marker segments up to the first scan. Bytes between segments are skipped, as libjpeg does.

    Args:
        data: A file that begins with the start marker.

    Raises:
        ImageError: `truncated` if the file ends before the first scan, `not_an_image` if no segment follows the start
            marker.
    """
    frame, kind, orientation = 0, 0, 1
    profiles: list[bytes] = []
    stray: list[tuple[int, int]] = []
    position = _next_marker(data, 2, stray)
    while (marker := data[position + 1]) != SCAN[1]:
        if marker in _STANDALONE:
            position = _next_marker(data, position + 2, stray)
            continue
        body = _segment(data, position)
        if marker in _FRAMES and len(body) >= 6:
            frame, kind = position + 4, marker
        elif marker == 0xE1 and body.startswith(_EXIF) and orientation == 1:
            orientation = read_orientation(body[len(_EXIF) :])
        elif marker == 0xE2 and body.startswith(_ICC):
            profiles.append(body[len(_ICC) :])
        position = _next_marker(data, position + 4 + len(body), stray)
    if not frame:
        raise ImageError("truncated", "no frame header before the first scan")
    bits, height_px, width_px, components = struct.unpack_from(">BHHB", data, frame)
    block_width_px, block_height_px = _block_size(data[frame + 6 : frame + 6 + 3 * components])
    return Header(
        width_px=width_px,
        height_px=height_px or _height_behind_scan(data, position),
        components=components,
        bits=bits,
        sequential=kind in _SEQUENTIAL,
        interleaved=data[position + 4 : position + 5] == bytes([components]),
        orientation=orientation,
        profile=_join_profile(profiles),
        scan=position,
        frame=frame,
        block_width_px=block_width_px,
        block_height_px=block_height_px,
        stray=tuple(stray),
    )


def scans(data: bytes, position: int) -> Iterator[Scan]:
    """Yields the scans from the marker of the first to the end marker, or to what no JPEG has between scans.

    A scan whose header is cut off, or too short for what it must say, ends them.

    Args:
        data: The file.
        position: Where the marker of the first scan stands.
    """
    while _is_scan(data, position):
        start = position + 2 + int.from_bytes(data[position + 2 : position + 4])
        following = _MARKER_OR_END.search(data, start)
        end = following.start() if following else len(data)
        yield Scan(position, start, end)
        position = end
        while data[position + 1 : position + 2] != SCAN[1:]:
            if len(data) < position + 4 or data[position + 1] not in _BETWEEN_SCANS:
                return
            position += 2 + int.from_bytes(data[position + 2 : position + 4])
            if data[position : position + 1] != b"\xff":
                return


def _is_scan(data: bytes, position: int) -> bool:
    """Whether a scan header has its components and three parameters (T.81, B.2.3)."""
    length = int.from_bytes(data[position + 2 : position + 4])
    header = data[position + 4 : position + 2 + length]
    return len(header) == length - 2 >= 6 and len(header) >= 4 + 2 * header[0]


def count_scans(data: bytes, position: int, most: int) -> int:
    """Returns the number of scans from the marker of the first one on, not exactly if there are at most `most`."""
    pairs = _count_pairs(data, SCAN)
    return pairs if pairs <= most else sum(1 for _ in scans(data, position))


def _next_marker(data: bytes, position: int, stray: list[tuple[int, int]]) -> int:
    """Returns where the next marker stands, after any number of 0xFF that fill up to it (T.81, B.1.1.2)."""
    found = _MARKER.search(data, position)
    if found is None or found.end() + 1 > len(data):
        raise ImageError("truncated", "the file ends before its first scan")
    if found.start() != position:
        if position == 2:
            raise ImageError("not_an_image", "no segment follows the start marker")
        stray.append((position, found.start()))
    return found.end() - 2


def _segment(data: bytes, position: int) -> bytes:
    (length,) = struct.unpack_from(">H", data.ljust(position + 4, b"\0"), position + 2)
    body = data[position + 4 : position + 2 + length]
    if length < 2 or len(body) != length - 2:
        raise ImageError("truncated", f"the segment at byte {position} is cut off")
    return body


def _block_size(components: bytes) -> tuple[int, int]:
    """Returns width and height of a block by the sampling factors of the components (T.81, A.2)."""
    factors = components[1::3]
    if len(factors) < 2:
        return _BLOCK_PX, _BLOCK_PX
    across, down = (max(1, *(factor >> shift & 15 for factor in factors)) for shift in (4, 0))
    return _BLOCK_PX * across, _BLOCK_PX * down


def _height_behind_scan(data: bytes, scan: int) -> int:
    """Returns the number of lines that a DNL segment gives (T.81, B.2.5), or 0."""
    position = data.find(_LINES, scan)
    return int.from_bytes(data[position + 4 : position + 6]) if position >= 0 else 0


def _join_profile(chunks: list[bytes]) -> bytes:
    """Joins the chunks of a profile: their number comes first and the total second (ICC.1:2010, B.4)."""
    return b"".join(chunk[2:] for chunk in sorted(chunks, key=lambda chunk: chunk[:1]))


def _count_pairs(data: bytes, pair: bytes) -> int:
    """Counts two bytes in the data; for JPEGs seven times as fast as `bytes.count`, and each file is asked."""
    word = int.from_bytes(pair, "little")
    words = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(some == word)) for some in words)
