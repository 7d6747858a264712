"""WebP (RFC 9649). VP8 has no checksums, and its decoder reads zeros where data is missing."""

from collections.abc import Iterator

from recolor.errors import ImageError
from recolor.images.decoded import Decoded, check_size
from recolor.images.pillow import open_picture, read_picture
from recolor.images.zero_tail import check_compressed

_LOSSY = b"VP8 "
_MIN_ZEROS = 64  # without half of them a decoder lacks more than the byte or two that it may read past the end


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
    for name, chunk in _image_chunks(data[:size]):
        if name == _LOSSY:
            _check_lossy(chunk, max_pixels)
        else:
            check_compressed(chunk, decoded.width_px * decoded.height_px)
    return decoded


def _image_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields names and contents of the chunks that hold pixels; metadata may end in zeros."""
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        if name in (_LOSSY, b"VP8L", b"ALPH", b"ANMF"):
            yield name, data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2


def _check_lossy(chunk: bytes, max_pixels: int) -> None:
    """Refuses VP8 data that ends in zeros which the decoder does not need.

    An encoder may end in thousands of zeros, where a picture is flat, and the decoder reads them all. Of zeros in place
    of what was never written it reads few: they stand for the simplest blocks.

    Raises:
        ImageError: `bad_entropy_data`.
    """
    zeros = len(chunk) - len(chunk.rstrip(b"\0"))
    if zeros < _MIN_ZEROS:
        return
    try:
        read_picture(open_picture(_file_of(chunk[: -(zeros // 2)]), "WEBP"), max_pixels)
    except ImageError:
        return
    said = f"the data ends in {zeros} zero bytes, which no pixel needs: a part was never written"
    raise ImageError("bad_entropy_data", said)


def _file_of(chunk: bytes) -> bytes:
    """Returns a WebP file with nothing but lossy data."""
    body = b"WEBP" + _LOSSY + len(chunk).to_bytes(4, "little") + chunk + b"\0" * (len(chunk) % 2)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
