"""TIFF (revision 6.0; BigTIFF): by what its tags say of samples, planes and colours.

Libtiff, through Pillow, reads 8 bits a sample and fewer. Deeper samples are read by tifffile: Pillow's raw modes turn
separate planes of 16 bits into stripes, packed 12 bits into black, and WhiteIsZero into a negative.
"""

import io
import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import tifffile
from numpy.typing import NDArray

from recolor.color.arrays import Uint16, to_8_bits
from recolor.errors import DecodeReason, ImageError
from recolor.images.decoded import Decoded, check_size
from recolor.images.icc import to_srgb
from recolor.images.orientation import upright, upright_size, valid_orientation
from recolor.images.pillow import one_line, open_picture, read_picture
from recolor.images.tiff_segments import check_segments

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB = 0, 1, 2, 3, 5, 6, 8
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4}  # samples of a colour, that of 16 bits may have
_SHALLOW = (*_COLOURS, _PALETTE, _YCBCR, _CIELAB)
_MODES = {1: "I;16", 3: "RGB", 4: "CMYK"}  # in Pillow's words, by samples of a colour
_UNSIGNED, _FLOAT = 1, 3
_ASSOCIATED, _STRAIGHT = 1, 2  # alpha
_PHOTOMETRIC_TAG, _ICC_TAG, _ORIENTATION_TAG, _MAX_SAMPLE_VALUE_TAG = 262, 34675, 274, 281
_OPAQUE = 65535
_MOST_SAMPLES = 8
_DARKEST_BITS = 8
_TIFF_ERRORS = (
    tifffile.TiffFileError, struct.error, ValueError, TypeError, KeyError, IndexError, OverflowError, ZeroDivisionError,
    AttributeError, RuntimeError, OSError,
)  # fmt: skip
_NOT_IN_LIBTIFF = frozenset(
    {tifffile.COMPRESSION.WEBP, tifffile.COMPRESSION.PNG, tifffile.COMPRESSION.JPEGXL, tifffile.COMPRESSION.JPEGXL_DNG,
     tifffile.COMPRESSION.JPEG2000, tifffile.COMPRESSION.APERIO_JP2000_RGB, tifffile.COMPRESSION.LERC}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the tags of the first page say."""

    photometric: int
    compression: int
    bits: int
    sample_format: int
    samples: int
    extra: tuple[int, ...]
    max_value: int | None
    orientation: int
    profile: bytes
    frames: int

    @property
    def colours(self) -> int:
        return _COLOURS.get(self.photometric, 3)


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decodes the first page; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason.
    """
    with _quiet_tifffile():
        try:
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                page = file.pages[0]
                assert isinstance(page, tifffile.TiffPage)
                if not page.tags:
                    raise ImageError("bad_entropy_data", "the directory of the first page is empty")
                if page.imagedepth > 1:
                    raise ImageError("unsupported", f"TIFF of {page.imagedepth} planes in depth")
                if page.is_reduced:
                    raise ImageError("unsupported", "the first page is a small preview, as in raw files: develop it")
                check_size(page.imagewidth, page.imagelength, max_pixels)
                layout = _layout(file, page)
                _check_layout(layout)
                check_segments(page, data)
                samples = _read_samples(page) if _is_deep(layout) else None
        except _TIFF_ERRORS as error:
            raise ImageError(_reason(data), one_line(error)) from error
    if samples is not None:
        return _decode_deep(samples, layout)
    if layout.compression in _NOT_IN_LIBTIFF:
        name = _name(tifffile.COMPRESSION, layout.compression)
        return _decode_shallow(data, layout, ImageError("unsupported", f"TIFF compressed as {name}"))
    try:
        return read_picture(open_picture(data, "TIFF"), max_pixels)
    except ImageError as error:
        no_mode = error.detail.startswith("UnidentifiedImageError") or "conversion from" in error.detail
        if not no_mode:
            raise
        return _decode_shallow(data, layout, error)


def _is_deep(layout: _Layout) -> bool:
    return layout.bits > 8


def _layout(file: tifffile.TiffFile, page: tifffile.TiffPage) -> _Layout:
    stated = page.tags.valueof(258, (1,))
    bits = {stated} if isinstance(stated, int) else set(stated)
    if len(bits) != 1:
        raise ImageError("unsupported", f"TIFF with {sorted(bits)} bits in one pixel")
    formats = page.tags.valueof(339, (_UNSIGNED,))
    formats = {formats} if isinstance(formats, int) else set(formats)
    if len(formats) != 1:
        raise ImageError("unsupported", f"TIFF with sample formats {sorted(formats)} in one pixel")
    if _PHOTOMETRIC_TAG not in page.tags:
        raise ImageError("unsupported", "TIFF that does not say what its samples mean (PhotometricInterpretation)")
    highest = page.tags.valueof(_MAX_SAMPLE_VALUE_TAG)
    profile = page.tags.valueof(_ICC_TAG, b"")
    return _Layout(
        photometric=int(page.photometric),
        compression=int(page.compression),
        bits=bits.pop(),
        sample_format=int(formats.pop()),
        samples=page.samplesperpixel,
        extra=tuple(int(kind) for kind in page.extrasamples),
        max_value=max(highest, default=None) if isinstance(highest, tuple) else highest,
        orientation=valid_orientation(page.tags.valueof(_ORIENTATION_TAG, 1)),
        profile=bytes(profile),
        frames=2 if _has_second_page(file) else 1,
    )


def _has_second_page(file: tifffile.TiffFile) -> bool:
    try:
        file.pages[1]
    except _TIFF_ERRORS:
        return False
    return True


def _check_layout(layout: _Layout) -> None:
    """Refuses by name what cannot be read right.

    Raises:
        ImageError: `unsupported`.
    """
    known = _COLOURS if _is_deep(layout) else _SHALLOW
    if layout.photometric not in known:
        name = _name(tifffile.PHOTOMETRIC, layout.photometric)
        raise ImageError("unsupported", f"TIFF of {layout.bits} bits a sample with photometric {name}")
    if layout.samples > _MOST_SAMPLES:
        raise ImageError("unsupported", f"TIFF with {layout.samples} samples in a pixel")
    undeclared = layout.samples - layout.colours - len(layout.extra)
    if _is_deep(layout) and (undeclared < 0 or (undeclared > 0 and layout.photometric != _RGB)):
        said = f"{layout.samples} samples for {layout.colours} colours and {len(layout.extra)} extra ones"
        raise ImageError("unsupported", f"TIFF of {said}")
    if layout.sample_format == _FLOAT and layout.bits in (16, 32, 64) and layout.photometric != _CMYK:
        return
    if layout.sample_format != _UNSIGNED or layout.bits > 16:
        name = _name(tifffile.SAMPLEFORMAT, layout.sample_format)
        raise ImageError("unsupported", f"TIFF of {layout.bits} bits a sample of format {name}")


def _name(kinds: type, value: int) -> str:
    try:
        return str(kinds(value).name)
    except ValueError:
        return str(value)


def _read_samples(page: tifffile.TiffPage) -> NDArray[np.generic]:
    """Returns the samples as stored, [H, W, C]."""
    read = page.asarray(maxworkers=1)
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        read = np.moveaxis(read, 0, -1)
    return np.ascontiguousarray(read.reshape(page.imagelength, page.imagewidth, -1))


def _decode_shallow(data: bytes, layout: _Layout, refused: ImageError) -> Decoded:
    """Decodes 8 bits a sample in a combination or a compression that Pillow does not know.

    Raises:
        ImageError: `refused`, if this cannot decode it either.
    """
    if layout.bits != 8 or layout.photometric not in _COLOURS:
        raise refused
    try:
        with _quiet_tifffile(), tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            assert isinstance(page, tifffile.TiffPage)
            samples = _read_samples(page).astype(np.uint16) * np.uint16(257)
    except _TIFF_ERRORS as error:
        raise refused from error
    deep = _decode_deep(samples, replace(layout, bits=16, max_value=None))
    return replace(deep, pixels=to_8_bits(deep.pixels), alpha=None if deep.alpha is None else to_8_bits(deep.alpha))


def _decode_deep(samples: NDArray[np.generic], layout: _Layout) -> Decoded:
    values = _to_16_bits(samples, layout)
    colours, alpha = values[..., : layout.colours], _alpha(values, layout)
    if layout.photometric == _WHITE_IS_ZERO:
        colours = np.uint16(_OPAQUE) - colours
    if alpha is not None and layout.extra[0] == _ASSOCIATED:
        divided = colours * (_OPAQUE / np.maximum(alpha, 1)[..., None]) + 0.5
        colours = np.minimum(divided, _OPAQUE).astype(np.uint16)
    width_px, height_px = upright_size(values.shape[1], values.shape[0], layout.orientation)
    return Decoded(
        pixels=upright(to_srgb(colours, layout.profile), layout.orientation),
        alpha=None if alpha is None else upright(alpha, layout.orientation),
        width_px=width_px,
        height_px=height_px,
        format="TIFF",
        mode=_MODES[layout.colours],
        frames=layout.frames,
        orientation=layout.orientation,
        icc=bool(layout.profile),
    )


def _alpha(values: Uint16, layout: _Layout) -> Uint16 | None:
    if layout.samples > layout.colours and layout.extra[:1] in ((_ASSOCIATED,), (_STRAIGHT,)):
        return np.ascontiguousarray(values[..., layout.colours])
    return None


def _to_16_bits(samples: NDArray[np.generic], layout: _Layout) -> Uint16:
    """Scales samples to the full range of 16 bits.

    Raises:
        ImageError: `unsupported` if their range is not known.
    """
    if layout.sample_format == _FLOAT:
        lowest, highest = float(samples.min()), float(samples.max())
        if not (lowest >= 0 and highest <= 1):
            raise ImageError("unsupported", f"floating-point samples from {lowest:g} to {highest:g}, not 0 to 1")
        return np.rint(samples.astype(np.float64) * _OPAQUE).astype(np.uint16)
    bits = _significant_bits(int(samples.max()), layout)
    most = (1 << bits) - 1
    if most == _OPAQUE:
        return samples.astype(np.uint16, copy=False)
    return ((samples.astype(np.uint32) * _OPAQUE + most // 2) // most).astype(np.uint16)


def _significant_bits(highest: int, layout: _Layout) -> int:
    """Returns the bits that samples use: scanners keep 10, 12 or 14 in 16.

    MaxSampleValue is statistics by the standard (section 8); one less than a power of two, it is the range.

    Raises:
        ImageError: `unsupported`: 16 bits of which at most 12 are used, and no tag that says so; the picture would be
            almost black.
    """
    stated = layout.max_value
    if stated is not None and highest <= stated < (1 << layout.bits) - 1 and not stated & (stated + 1):
        return max(stated.bit_length(), _DARKEST_BITS)
    if layout.bits == 16 and _DARKEST_BITS < highest.bit_length() <= 12:
        said = f"16 bits a sample with values up to {highest}: MaxSampleValue must say how many bits are used"
        raise ImageError("unsupported", said)
    return layout.bits


def _reason(data: bytes) -> DecodeReason:
    """Returns why tifffile cannot read a file: its directory is beyond its end, or it is damaged."""
    order, big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")
    try:
        (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    except (struct.error, OverflowError):
        return "truncated"
    entries = start + (8 + 20 * count if big else 2 + 12 * count)
    return "truncated" if entries > len(data) else "bad_entropy_data"


@contextmanager
def _quiet_tifffile() -> Iterator[None]:
    """Drops what tifffile logs inside the block: what matters becomes a reason, which names the file."""
    _here.quiet = True
    try:
        yield
    finally:
        _here.quiet = False


class _Here(threading.local):
    quiet = False


def _is_wanted(record: logging.LogRecord) -> bool:
    del record
    return not _here.quiet


_here = _Here()
logging.getLogger("tifffile").addFilter(_is_wanted)  # has no effect outside the block
