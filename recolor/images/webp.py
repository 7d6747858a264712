"""WebP (RFC 9649). VP8 has no checksums, and its decoder reads zeros where data is missing."""

from collections.abc import Iterator

from recolor.errors import ImageError
from recolor.images.decoded import Decoded, check_size
from recolor.images.pillow import open_picture, read_picture
from recolor.images.zero_tail import check_compressed


def is_webp(data: bytes) -> bool:
    """Whether a file begins as a WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decodes the first frame; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason.
    """
    size = 8 + int.from_bytes(data[4:8], "little")
    cut = ImageError("truncated", f"{len(data)} bytes, the header says {size}")
    is_cut = size > len(data) + 1  # the last byte may be padding
    try:
        picture = open_picture(data, "WEBP")
    except ImageError as error:
        raise (cut if is_cut else error) from error
    check_size(*picture.size, max_pixels)
    if is_cut:
        raise cut
    decoded = read_picture(picture, max_pixels)
    for chunk in _image_chunks(data[:size]):
        check_compressed(chunk, decoded.width_px * decoded.height_px)
    return decoded


def _image_chunks(data: bytes) -> Iterator[bytes]:
    """Yields the chunks that hold pixels; metadata may end in zeros."""
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"):
            yield data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
