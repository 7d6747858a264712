"""Files that end in zero bytes which were never written: a copy that broke off, a disk that was full.

They have their full size, and where a format has no checksums its decoder takes the zeros for pixels.
"""

from recolor.errors import ImageError

_BLOCK_PX = 16
# Intact WebP and AVIF files end in up to 0.18 zero bytes a block where half of the picture is black, and in 88 bytes
# otherwise (75 photographs, flat pictures and halves at five qualities). A disk's block has 512 bytes.
_ZEROS_A_BLOCK = 0.25
_ZEROS = 100
# A picture may end in black rows. Zeros that were never written begin in the middle of a row, behind bright pixels and
# below others. Where an object ends on a black ground (or on a white one, if zero is white), the ground is above, too.
_BRIGHT = 24
_BEFORE_BYTES = 12


def check_compressed(data: bytes, pixels: int, padding_bytes: int = 0) -> None:
    """Refuses compressed data that ends in more zero bytes than an encoder writes.

    Args:
        data: The part of the file that holds the picture.
        pixels: Number of pixels.
        padding_bytes: Zeros that other things in that part, such as metadata, may end in.

    Raises:
        ImageError: `bad_entropy_data`.
    """
    zeros = _count(data)
    if zeros > _ZEROS + padding_bytes + _ZEROS_A_BLOCK * pixels / _BLOCK_PX**2:
        raise ImageError("bad_entropy_data", f"the file ends in {zeros} zero bytes: a part was never written")


def check_rows(rows: bytes | memoryview, row_bytes: int) -> None:
    """Refuses uncompressed rows that turn to zero in the middle of a row and stay so to the end.

    Args:
        rows: The rows in the order of the file.
        row_bytes: Bytes of a row.

    Raises:
        ImageError: `bad_entropy_data`.
    """
    data = bytes(rows)
    zeros = _count(data)
    start = len(data) - zeros
    before = data[max(0, start - _BEFORE_BYTES) : start]
    above = data[max(0, start - row_bytes) : start - start % row_bytes]  # the pixels above the first zeros
    bright = all(part and sum(part) > _BRIGHT * len(part) for part in (before, above))
    if zeros > row_bytes and start % row_bytes and bright:
        said = f"the last {zeros} bytes of {len(data)}, from the middle of a row on, are zero: they were never written"
        raise ImageError("bad_entropy_data", said)


def _count(data: bytes) -> int:
    return len(data) - len(data.rstrip(b"\0"))
