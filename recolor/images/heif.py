"""AVIF and HEIC, which share a container (ISO/IEC 14496-12 and 23008-12). HEIC needs the extra `heif`."""

import io

from PIL import Image

from recolor.errors import ImageError
from recolor.images.color_space import ColorSpace, from_codes
from recolor.images.decoded import Decoded
from recolor.images.heif_boxes import boxes, color_codes
from recolor.images.pillow import PILLOW_ERRORS, one_line, open_picture, read_picture, reason_of
from recolor.images.zero_tail import check_compressed

_AVIF_BRANDS = (b"avif", b"avis")
_METADATA_BYTES = 1024  # EXIF blocks are padded
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_heif(data: bytes) -> bool:
    """Whether a file is an AVIF or HEIC by its `ftyp` box."""
    return data[4:8] == b"ftyp" and bool(_brands(data) & {*_AVIF_BRANDS, *_HEIC_BRANDS})


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decodes the primary image; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason; `unsupported` for HEIC if pillow-heif is not installed.
    """
    _check_boxes(data)
    is_avif = not _brands(data).isdisjoint(_AVIF_BRANDS)
    picture = open_picture(data, "AVIF") if is_avif else open_heic(data)
    decoded = read_picture(picture, max_pixels, _color_space(data, picture))
    check_compressed(_pixel_box(data), decoded.width_px * decoded.height_px, _METADATA_BYTES)
    return decoded


def _color_space(data: bytes, picture: Image.Image) -> ColorSpace | None:
    """Returns the colour space of the codes; None if there is an ICC profile, which counts, or nothing."""
    if picture.info.get("icc_profile") or (codes := color_codes(data)) is None:
        return None
    return from_codes(*codes)


def _brands(data: bytes) -> set[bytes]:
    """Returns the major brand and the compatible ones."""
    size = min(int.from_bytes(data[:4]), 256)
    return {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}


def open_heic(data: bytes) -> Image.Image:
    """Opens a HEIC file.

    Raises:
        ImageError: pillow-heif is not installed, or the file cannot be opened.
    """
    try:
        from pillow_heif import HeifImageFile  # noqa: PLC0415  an extra: 6 MB that only owners of HEIC files need
    except ImportError as error:
        raise ImageError("unsupported", "HEIC needs pillow-heif: pip install 'recolor[heif]'") from error
    try:  # not registered with Pillow, which is the host program's
        picture: Image.Image = HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]  # it has no types
    except PILLOW_ERRORS as error:
        raise ImageError(reason_of(str(error), "bad_entropy_data"), one_line(error)) from error
    return picture


def _pixel_box(data: bytes) -> bytes:
    """Returns the content of the last box of media data, which holds metadata as well."""
    found = [data[box.start : box.end] for box in boxes(data) if box.name == b"mdat"]
    return found[-1] if found else b""


def _check_boxes(data: bytes) -> None:
    """Refuses a file whose boxes go beyond its end.

    Raises:
        ImageError: `truncated`.
    """
    for box in boxes(data):
        if box.end > len(data):
            raise ImageError("truncated", f"{len(data)} bytes, the box at byte {box.start} ends at {box.end}")
