"""The strips and tiles of a TIFF: whether all of them are in the file and whole.

Libtiff stops inflating as soon as it has enough bytes, so it never reads the checksum, and it passes over what libjpeg
only warns of. Both are checked here. LZW, PackBits and uncompressed samples have nothing to check but their length.
"""

import zlib

import tifffile

from recolor.errors import ImageError
from recolor.images.jpeg import check_stream
from recolor.images.jpeg_header import END
from recolor.images.zero_tail import check_rows

_DEFLATE = (tifffile.COMPRESSION.ADOBE_DEFLATE, tifffile.COMPRESSION.DEFLATE)
_INFLATE_BYTES = 1 << 20  # at a time: what a strip inflates to is not bounded by what its rows need


def check_segments(page: tifffile.TiffPage, data: bytes) -> None:
    """Makes sure that all strips or tiles are in the file, and were written.

    Raises:
        ImageError: `truncated` or `bad_entropy_data`.
    """
    if page.compression == tifffile.COMPRESSION.OJPEG:
        return  # its strips are described by tags of its own, which libtiff knows
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets or len(offsets) != len(counts):
        raise ImageError("truncated", f"{len(offsets)} strips or tiles with {len(counts)} sizes")
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        if (count < 1 and page.compression != tifffile.COMPRESSION.NONE) or offset < 1:
            raise ImageError("truncated", f"strip or tile {number} of {len(offsets)} was never written")
        if offset + count > len(data) and not _holds_rows(page, number, len(data)):
            said = f"strip or tile {number} of {len(offsets)} ends at byte {offset + count} of {len(data)}"
            raise ImageError("truncated", said)
        _check_whole(page, data[offset : offset + count], f"strip or tile {number} of {len(offsets)}")
    if page.compression == tifffile.COMPRESSION.NONE and not page.is_tiled:  # tiles are filled up with zeros
        _check_written(page, data)


def _check_whole(page: tifffile.TiffPage, segment: bytes, name: str) -> None:
    """Refuses a strip or tile whose checksum is wrong, or which no strict JPEG decoder reads."""
    try:
        if page.compression in _DEFLATE:
            _check_deflate(segment)
        elif page.compression == tifffile.COMPRESSION.JPEG:
            tables = page.jpegtables or b""  # an abbreviated file of its own, from the start to the end marker
            check_stream(tables.removesuffix(END) + segment[2:] if tables else segment)
    except ImageError as error:
        if error.reason != "unsupported":  # libtiff decodes JPEGs that the strict decoder has no name for
            raise ImageError(error.reason, f"{name}: {error.detail}") from error


def _check_deflate(segment: bytes) -> None:
    """Inflates to the checksum (Adler-32, RFC 1950). A stream without it is left to the decoder."""
    stream = zlib.decompressobj()
    try:
        stream.decompress(segment, _INFLATE_BYTES)
        while stream.unconsumed_tail:
            stream.decompress(stream.unconsumed_tail, _INFLATE_BYTES)
    except zlib.error as error:
        raise ImageError("bad_entropy_data", str(error)) from error


def _holds_rows(page: tifffile.TiffPage, number: int, size: int) -> bool:
    """Whether an uncompressed strip is in the file, though its stated size is too large."""
    if page.compression != tifffile.COMPRESSION.NONE or page.is_tiled:
        return False
    rows = min(page.rowsperstrip, page.imagelength)
    strips = -(-page.imagelength // rows)
    height = min(rows, page.imagelength - number % strips * rows)
    samples = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.CONTIG else 1
    row_bytes = (page.imagewidth * samples * page.bitspersample + 7) // 8
    return bool(page.dataoffsets[number] + height * row_bytes <= size)


def _check_written(page: tifffile.TiffPage, data: bytes) -> None:
    """Refuses uncompressed samples that end in zeros from the middle of a row on, if they follow each other."""
    offsets, counts = page.dataoffsets, page.databytecounts
    rows = min(page.rowsperstrip, page.imagelength)
    follow = all(at + size == next_at for at, size, next_at in zip(offsets, counts, offsets[1:], strict=False))
    if follow and (row_bytes := counts[0] // max(rows, 1)):
        check_rows(memoryview(data)[offsets[0] : offsets[-1] + counts[-1]], row_bytes)
