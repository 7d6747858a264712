"""JPEG (ITU-T T.81): libjpeg-turbo in strict mode, scaled in the DCT where that is allowed."""

import io
from functools import partial

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from recolor.color.arrays import Pixels
from recolor.errors import ImageError
from recolor.images.decoded import Decoded, check_size
from recolor.images.icc import to_srgb
from recolor.images.jpeg_disorder import Decoder, reason_of, without_disorder
from recolor.images.jpeg_header import END, Header, count_scans, read_header, scans
from recolor.images.jpeg_huffman import check_blocks
from recolor.images.orientation import upright, upright_size
from recolor.images.pillow import PILLOW_ERRORS, one_line, pillow_warnings_as_errors
from recolor.images.pillow import reason_of as of_pillow

SIGNATURE = b"\xff\xd8\xff"
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_COLORSPACES = {1: "GRAY", 3: "RGB", 4: "CMYK"}  # in simplejpeg's words
_NO_NAME = "subsampling level"  # what TurboJPEG says of a sampling that it has no name for
_BITS = 8
_SMALLEST = 8  # the strongest scale of libjpeg-turbo; all entropy-coded bytes are read even so
# Each scan passes over the whole picture: thousands of empty scans are an attack on time.
_MAX_SCANS = 200


def decode(data: bytes, max_pixels: int, min_side_px: int | None) -> Decoded:
    """Decodes a JPEG strictly; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason.
    """
    header = read_header(data)
    is_named = _has_named_sampling(data, header)
    factor = _scale(header, min_side_px) if is_named else 1
    # In one scan a sequential JPEG takes memory for the decoded pixels alone, any other for all of its coefficients.
    in_one_scan = header.sequential and header.interleaved
    check_size(header.width_px, header.height_px, max_pixels * (factor**2 if in_one_scan else 1))
    _check_kind(data, header)
    largest = 1 if header.width_px * header.height_px <= max_pixels else factor  # scale of any decode
    if is_named:
        pixels, tidy, notes = _read_pixels(data, header, factor, largest)
    else:
        pixels, tidy, notes = _read_other_sampling(data, header), None, ()
    width_px, height_px = upright_size(header.width_px, header.height_px, header.orientation)
    return Decoded(
        pixels=upright(pixels, header.orientation),
        width_px=width_px,
        height_px=height_px,
        format="JPEG",
        mode=_MODES[header.components],
        frames=1,
        orientation=header.orientation,
        icc=bool(header.profile),
        notes=notes,
        tidy=tidy,
    )


def check_stream(data: bytes) -> None:
    """Decodes a JPEG strictly that is part of another file, such as a strip of a TIFF.

    Raises:
        ImageError: With a typed reason, unless only its order is wrong.
    """
    header = read_header(data)
    _check_kind(data, header)
    if not _has_named_sampling(data, header):
        _check_other_sampling(data, header)
        return
    try:
        _strict(data, _SMALLEST, header=header)
    except ValueError as error:
        _mend(data, header, str(error), _SMALLEST)


def _scale(header: Header, min_side_px: int | None) -> int:
    """The largest of 1, 2, 4, 8 that keeps the short side: the scales that libjpeg-turbo has fast code for."""
    if header.components == 4 or min_side_px is None:
        return 1
    side_px = min(header.width_px, header.height_px)
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or side_px >= min_side_px * factor)


def _check_kind(data: bytes, header: Header) -> None:
    if header.components not in _MODES:
        raise ImageError("unsupported", f"{header.components} colour components")
    if header.bits != _BITS:
        raise ImageError("unsupported", f"JPEG of {header.bits} bits a sample")
    if count_scans(data, header.scan, _MAX_SCANS) > _MAX_SCANS:
        raise ImageError("unsupported", f"more than {_MAX_SCANS} scans")
    _check_size_of_libjpeg(data, header)


def _check_size_of_libjpeg(data: bytes, header: Header) -> None:
    """Whoever checks the limits must read the same header as whoever decodes."""
    try:
        height_px, width_px, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return  # decoding starts in the same way, and will have the reason
    except KeyError:
        return  # a subsampling that libjpeg decodes and simplejpeg has no name for (4:4:1)
    if (width_px, height_px) != (header.width_px, header.height_px):
        said = f"the header says {header.width_px}x{header.height_px} pixels, libjpeg reads {width_px}x{height_px}"
        raise ImageError("bad_entropy_data", said)


def _has_named_sampling(data: bytes, header: Header) -> bool:
    """Whether TurboJPEG, and so the strict decoder, has a name for how colours are sampled."""
    if not _has_height(data, header):
        return True  # to TurboJPEG nothing has a name then
    try:
        simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        return _NO_NAME not in str(error)
    except KeyError:  # simplejpeg has none, but decodes it (4:4:1)
        return True
    return True


def _read_other_sampling(data: bytes, header: Header) -> Pixels:
    """Decodes a JPEG whose sampling has no name, by libjpeg in Pillow.

    Pillow says nothing of what libjpeg warns of, so the codes are followed before.

    Raises:
        ImageError: `truncated` or `bad_entropy_data`; `unsupported` if it is not sequential, or not in order.
    """
    _check_other_sampling(data, header)
    return _decode_with_pillow(data, header.profile)


def _check_other_sampling(data: bytes, header: Header) -> None:
    if not header.sequential or header.stray:
        what = "stray bytes" if header.stray else "several passes"
        raise ImageError("unsupported", f"JPEG of {what} whose colours are sampled in a way that has no name")
    found = list(scans(data, header.scan))
    if not found or not data.startswith(END, found[-1].end):
        raise ImageError("truncated", "no end marker behind the last scan")
    check_blocks(data, header)


def _read_pixels(
    data: bytes, header: Header, factor: int, largest: int
) -> tuple[Pixels, bytes | None, tuple[str, ...]]:
    """Returns sRGB [H, W, 3] as stored; if the file is not in order, also a file that is, and notes."""
    strict = partial(_strict, header=header)
    # The verdict on CMYK is libjpeg-turbo's strict one; the pixels are Pillow's, which knows Adobe's inverted CMYK.
    wanted = 8 if header.components == 4 else factor
    tidy: bytes | None = None
    notes: tuple[str, ...] = ()
    try:
        stored = strict(data, wanted)
    except ValueError as error:
        tidy, notes = _mend(data, header, str(error), largest)
        stored = strict(tidy, wanted)
    if header.components == 4:
        return _decode_with_pillow(tidy or data, header.profile), tidy, notes
    return to_srgb(stored, header.profile), tidy, notes


def _mend(data: bytes, header: Header, said: str, largest: int) -> tuple[bytes, tuple[str, ...]]:
    if _has_height(data, header) and reason_of(said) == "unsupported":
        raise ImageError("unsupported", said)
    strict = partial(_strict, header=header)
    decoder = Decoder(small=partial(strict, factor=8), full=partial(strict, factor=largest))
    return without_disorder(data, header, decoder)


def _has_height(data: bytes, header: Header) -> bool:
    """Whether the frame header says the number of lines; else it follows the first scan (T.81, B.2.5)."""
    return any(data[header.frame + 1 : header.frame + 3])


def _strict(data: bytes, factor: int, *, header: Header) -> NDArray[np.uint8]:
    """Decodes at 1/factor of the size: uint8 [H, W, C].

    Raises:
        ValueError: With libjpeg's first warning.
    """
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data,
        _COLORSPACES[header.components],
        min_height=-(-header.height_px // factor),
        min_width=-(-header.width_px // factor),
        strict=True,
    )
    return pixels


@pillow_warnings_as_errors()
def _decode_with_pillow(data: bytes, profile: bytes) -> Pixels:
    try:
        picture = Image.open(io.BytesIO(data), formats=["JPEG"])
        picture.load()
    except PILLOW_ERRORS as error:
        raise ImageError(of_pillow(str(error), "unsupported"), one_line(error)) from error
    stored = np.asarray(picture)
    return to_srgb(stored.reshape(*stored.shape[:2], -1), profile)
