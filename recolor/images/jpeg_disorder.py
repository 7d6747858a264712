"""JPEGs that the strict decoder refuses although no pixel is lost.

Cameras and programs write odd scan parameters, stray bytes, trailers, and leave out the end marker. Whether pixels are
lost is decided by pixels: the file without its disorder must decode without one warning, to its last block. Bytes
behind that could also be what damage in the middle left over: a decoder that loses its step often finds it again some
blocks early. Three facts tell them apart. An encoder fills its last byte with ones (T.81, F.1.2.3); it puts nothing
long in front of an end marker; and bytes that were left over are whole blocks themselves.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recolor.errors import DecodeReason, ImageError
from recolor.images.jpeg_header import END, Header, Scan, scans

_TOO_SHORT = ("premature end",)  # what libjpeg says where the entropy-coded bytes end before the last block
_MOST_STRAY_BYTES = 16  # between the last block and an end marker, unless they are all the same
_ZERO_TAIL_BYTES = 8
_MOST_BLOCKS = 2047  # in a row or column: blocks have up to 32 pixels, sizes 16 bits
_MOST_BLOCKS_A_BYTE = 4  # a block has two bits at least
_LAST_COEFFICIENT = 63


@dataclass(frozen=True, slots=True)
class Decoder:
    """Strict decodes to [H, W, C], at the smallest scale and at full size; they raise ValueError with a warning."""

    small: Callable[[bytes], NDArray[np.uint8]]
    full: Callable[[bytes], NDArray[np.uint8]]

    def refusal(self, data: bytes) -> str | None:
        """Returns what a strict decode warns about, or None."""
        try:
            self.small(data)
        except ValueError as error:
            return str(error)
        return None


def without_disorder(data: bytes, header: Header, decoder: Decoder) -> tuple[bytes, tuple[str, ...]]:
    """Returns the file without what is not in order in it, and what that was.

    Args:
        data: A file that the strict decoder refuses.
        header: Its header.
        decoder: The strict decoder.

    Returns:
        A file that decodes strictly, and one sentence for each disorder.

    Raises:
        ImageError: Pixels are lost: `truncated` or `bad_entropy_data`; or libjpeg does not support the file:
            `unsupported`.
    """
    data, position, notes = _tidy_header(data, header)
    refused = decoder.refusal(data)
    if refused is not None:
        data, note = _tidy_end(data, position, header, refused, decoder)
        notes.append(note)
    return data, tuple(notes)


def _tidy_header(data: bytes, header: Header) -> tuple[bytes, int, list[str]]:
    """Corrects what precedes and introduces scans; returns the file, the position of its first scan, and notes."""
    notes: list[str] = []
    tidy = bytearray(data)
    if header.height_px and not any(data[header.frame + 1 : header.frame + 3]):
        struct.pack_into(">H", tidy, header.frame + 1, header.height_px)
    if header.sequential and _correct_parameters(tidy, header.scan):
        notes.append("scan parameters that no sequential JPEG has")
    removed = sum(end - start for start, end in header.stray)
    if removed:
        notes.append(f"{removed} stray bytes between segments")
    edges = [0, *(edge for span in header.stray for edge in span), len(tidy)]
    kept = [tidy[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    return b"".join(kept), header.scan - removed, notes


def _correct_parameters(data: bytearray, position: int) -> bool:
    """Gives each scan the parameters of a sequential one, 0, 63, 0 (T.81, table B.3); whether any had others."""
    corrected = False
    for scan in scans(bytes(data), position):
        parameters = slice(scan.start - 3, scan.start)
        corrected |= data[parameters] != b"\0\x3f\0"
        data[parameters] = b"\0\x3f\0"
    return corrected


def _tidy_end(data: bytes, position: int, header: Header, refused: str, decoder: Decoder) -> tuple[bytes, str]:
    """Cuts a file behind its last block and marks the end there; returns it, and what was wrong."""
    found = list(scans(data, position))
    if not found:
        raise ImageError(reason_of(refused), refused)
    last = _last_scan(data, found, header)
    marked = data.startswith(END, last.end)
    said = decoder.refusal(data[: last.end] + END)
    if said is not None and _is_too_short(said):
        raise ImageError("truncated" if last.end >= len(data) - 1 else "bad_entropy_data", said)
    end = _first_complete(data, last, decoder)
    tidy, stray = data[:end] + END, data[end : last.end]
    if (said := decoder.refusal(tidy)) is not None:
        raise ImageError(reason_of(said), said)
    if not marked and not _is_whole(data, list(scans(tidy, position)), header):
        raise ImageError("truncated", "the last scans are missing")
    long = marked and len(stray) > _MOST_STRAY_BYTES and len(set(stray)) > 1
    if long or _is_zero_filled(data, end, stray) or not _ends_as_encoders_end(tidy, end, decoder):
        raise ImageError("bad_entropy_data", refused)
    if marked and len(set(stray)) > 1 and _are_blocks(data[: last.end] + END, header, last, len(stray), decoder):
        raise ImageError("bad_entropy_data", refused)
    if marked:
        return tidy, f"{len(stray)} stray bytes before the end marker"
    return tidy, "no end marker" if end == len(data) else f"no end marker before {len(data) - end} other bytes"


def _is_too_short(said: str) -> bool:
    return any(words in said.lower() for words in _TOO_SHORT)


def _last_scan(data: bytes, found: list[Scan], header: Header) -> Scan:
    """Returns the scan behind which the picture is whole; what follows may only look like a scan."""
    for number, scan in enumerate(found, 1):
        if _is_whole(data, found[:number], header):
            return scan
    return found[-1]


def _is_whole(data: bytes, found: list[Scan], header: Header) -> bool:
    """Whether scans bring all coefficients of all components with all bits (T.81, B.2.3 and G.1.1.1)."""
    missing = np.full((256, _LAST_COEFFICIENT + 1), True)
    components = set()
    for scan in found:
        count = data[scan.marker + 4]
        names = data[scan.marker + 5 : scan.marker + 5 + 2 * count : 2]
        components |= set(names)
        first, last, bits = (0, _LAST_COEFFICIENT, 0) if header.sequential else data[scan.start - 3 : scan.start]
        if bits & 15 == 0:
            missing[list(names), first : last + 1] = False
    return len(components) >= header.components and not missing[list(components)].any()


def _first_complete(data: bytes, scan: Scan, decoder: Decoder) -> int:
    """Returns the first position behind the bytes that the last block needs, by bisection."""
    low, high = scan.start, scan.end
    while low < high:
        middle = (low + high) // 2
        said = decoder.refusal(data[:middle] + END)
        if said is not None and _is_too_short(said):
            low = middle + 1
        else:
            high = middle
    return low


def _is_zero_filled(data: bytes, end: int, stray: bytes) -> bool:
    """Whether the picture itself ends in zero bytes that go on behind it: a block of the disk was never written."""
    return bool(stray) and not any(stray) and not any(data[end - _ZERO_TAIL_BYTES : end])


def _ends_as_encoders_end(tidy: bytes, end: int, decoder: Decoder) -> bool:
    """Whether the bits behind the last block are ones: turning the lowest zero of the last byte must change pixels."""
    last = tidy[end - 1]
    if last == 0xFF or (last == 0 and tidy[end - 2] == 0xFF):
        return True
    lowest_zero = ~last & (last + 1)
    turned = bytearray(tidy)
    turned[end - 1] = last | lowest_zero
    if turned[end - 1] == 0xFF:
        turned.insert(end, 0)  # a byte 0xFF of data is followed by 0 (T.81, F.1.2.3)
    try:
        return not np.array_equal(decoder.full(bytes(turned)), decoder.full(tidy))
    except ValueError:
        return True


def _are_blocks(data: bytes, header: Header, last: Scan, stray_bytes: int, decoder: Decoder) -> bool:
    """Whether bytes behind the last block of a sequential JPEG are some more blocks, to the last bit.

    The picture is given that many blocks more, in rows of another length: their order in the file stays the same.
    """
    blocks = header.blocks_across * header.blocks_down
    for count in range(blocks + 1, blocks + 1 + _MOST_BLOCKS_A_BYTE * stray_bytes if header.sequential else 0):
        across = next((n for n in range(min(count, _MOST_BLOCKS), 0, -1) if count % n == 0), 1)
        if count // across > _MOST_BLOCKS:
            continue
        size = struct.pack(">HH", count // across * header.block_height_px, across * header.block_width_px)
        longer = data[: header.frame + 1] + size + data[header.frame + 5 :]
        fits = decoder.refusal(longer) is None and _first_complete(longer, last, decoder) == last.end
        if fits and _ends_as_encoders_end(longer, last.end, decoder):
            return True
    return False


def reason_of(said: str) -> DecodeReason:
    """Returns the reason for what libjpeg said."""
    said = said.lower()
    if _is_too_short(said):
        return "truncated"
    if "marker type" in said:  # within the scans: a byte was damaged
        return "bad_entropy_data"
    unknown = ("unsupported", "not supported", "subsampling level")  # the last one of simplejpeg
    return "unsupported" if any(words in said for words in unknown) else "bad_entropy_data"
