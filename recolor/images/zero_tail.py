"""Files that end in zero bytes which were never written: a copy that broke off, a disk that was full.

They have their full size, and where a format has no checksums its decoder takes the zeros for pixels.
"""

from recolor.errors import ImageError

_BLOCK_PX = 16
# Intact WebP and AVIF files end in up to 0.18 zero bytes a block where half of the picture is black, and in 88 bytes
# otherwise (75 photographs, flat pictures and halves at five qualities). A disk's block has 512 bytes.
_ZEROS_A_BLOCK = 0.25
_ZEROS = 100
_BRIGHT = 24  # a picture may end in black rows, but such do not begin in the middle of a row behind bright pixels
_BEFORE_BYTES = 12


def check_compressed(data: bytes, pixels: int) -> None:
    """Refuses compressed data that ends in more zero bytes than an encoder writes.

    Args:
        data: The file, or the part of it that holds the picture.
        pixels: Number of pixels.

    Raises:
        ImageError: `bad_entropy_data`.
    """
    zeros = _count(data)
    if zeros > _ZEROS + _ZEROS_A_BLOCK * pixels / _BLOCK_PX**2:
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
    if zeros > row_bytes and start % row_bytes and sum(before) > _BRIGHT * len(before):
        said = f"the last {zeros} bytes of {len(data)}, from the middle of a row on, are zero: they were never written"
        raise ImageError("bad_entropy_data", said)


def _count(data: bytes) -> int:
    return len(data) - len(data.rstrip(b"\0"))
