"""Pillow: its exceptions and warnings as typed reasons, and the pixels of a picture that it has opened."""

import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recolor.color.arrays import Pixels, Uint16, on_white, to_8_bits
from recolor.errors import DecodeReason, ImageError
from recolor.images.color_space import ColorSpace, icc_profile
from recolor.images.decoded import Decoded, check_size
from recolor.images.icc import to_srgb
from recolor.images.orientation import upright, upright_size, valid_orientation

# What Pillow raises on damaged bytes, as met in fuzzed files; it promises nothing narrower.
PILLOW_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError,
    NotImplementedError, RuntimeError, AssertionError, struct.error, zlib.error, UserWarning,
)  # fmt: skip

_TRUNCATED = ("truncated", "not enough", "end of file", "eof", "0 bytes not processed")
_MAX_FRAMES = 2**31 - 1  # what the manifest holds; the header of a PNG may say one more
_HIGHEST_16 = 65535
_DEEP_GREYS = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_GREYS = ("1", "L", "LA", "La")
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")

_inside: ContextVar[bool] = ContextVar("inside a block of pillow_warnings_as_errors", default=False)


class _OnlyInside(type):
    """A category of warnings that has subclasses only inside a block of this thread or task."""

    def __subclasscheck__(cls, category: type) -> bool:
        return _inside.get() and issubclass(category, cls.__bases__)


class _RaisedInside(UserWarning, metaclass=_OnlyInside):
    pass


class _IgnoredInside(Image.DecompressionBombWarning, metaclass=_OnlyInside):
    pass


_Filter = tuple[Literal["error", "ignore"], None, type[Warning], re.Pattern[str] | None, int]

_FILTERS: tuple[_Filter, ...] = (  # as `warnings` stores them; the one added last is tried first
    ("ignore", None, _IgnoredInside, None, 0),
    ("error", None, _RaisedInside, re.compile(r"PIL\."), 0),
)
_lock = threading.Lock()
_blocks: list[None] = []  # one for each block that is open, in any thread
_added: list[_Filter] = []


@contextmanager
def pillow_warnings_as_errors() -> Iterator[None]:
    """Raises Pillow's warnings as errors inside the block, in this thread or task alone.

    Warning filters belong to the whole process, and `warnings.catch_warnings` is not thread-safe. The first thread that
    enters a block adds two filters for Pillow's modules, and the last one that leaves removes them. Their categories
    match no warning of a thread that is in no block. Filters that were there before stay. Pillow's bomb warning is
    ignored: `check_size` limits the number of pixels.
    """
    with _lock:
        _blocks.append(None)
        _add_filters()
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)
        with _lock:
            _blocks.pop()
            if not _blocks:
                _remove_filters()


def _add_filters() -> None:
    """Adds the filters that are missing: another thread or a test runner may have reset them."""
    for entry in _FILTERS:
        if entry not in warnings.filters:
            action, _, category, module, _ = entry
            warnings.filterwarnings(action, category=category, module=module.pattern if module else "")
            _added.append(entry)


def _remove_filters() -> None:
    for entry in _added:
        with suppress(ValueError):  # reset by someone else
            cast("list[_Filter]", warnings.filters).remove(entry)
    _added.clear()


def one_line(error: BaseException) -> str:
    """What Pillow said, without the address of its buffer: the same file must always give the same row."""
    said = re.sub(r"<_io\.BytesIO[^>]*>", "of these bytes", str(error))
    return " ".join(f"{type(error).__name__}: {said}".split())[:200]


def open_picture(data: bytes, file_format: str) -> Image.Image:
    """Opens a file with one of Pillow's decoders.

    Raises:
        ImageError: It cannot be opened.
    """
    try:
        return Image.open(io.BytesIO(data), formats=[file_format])
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except PILLOW_ERRORS as error:
        raise ImageError(reason_of(str(error), "unsupported"), one_line(error)) from error


def read_picture(opened: Image.Image, max_pixels: int, space: ColorSpace | None = None) -> Decoded:
    """Decodes the first frame of a file of 8 bits a channel or fewer, and closes it; see `recolor.images.decode`.

    Args:
        opened: The file.
        max_pixels: Limit on the number of pixels.
        space: The colour space of the pixels. None means that the ICC profile says so, or else that they are sRGB.

    Raises:
        ImageError: With a typed reason.
    """
    with opened as picture:
        check_size(*picture.size, max_pixels)
        mode, own_profile, stated = picture.mode, read_profile(picture), read_orientation(picture)
        profile = own_profile if space is None else icc_profile(space, grey=mode in (*_GREYS, *_DEEP_GREYS))
        pixels, alpha = _read_pixels(picture, profile)
        remaining = read_orientation(picture)  # 1 by now if it is a TIFF: Pillow turns these as it loads them
        frames = read_frames(picture)
    width_px, height_px = upright_size(pixels.shape[1], pixels.shape[0], remaining)
    return Decoded(
        pixels=upright(pixels, remaining),
        alpha=None if alpha is None else upright(alpha, remaining),
        width_px=width_px,
        height_px=height_px,
        format=str(opened.format),
        mode=mode,
        frames=frames,
        orientation=remaining if remaining > 1 else stated,
        icc=bool(own_profile),
    )


def from_picture(picture: Image.Image) -> NDArray[np.uint8]:
    """Returns upright sRGB of a picture that is open: its first frame or the one that it stands at.

    Of what describes its colours, the ICC profile counts. Pillow does not keep the codes of a PNG or AVIF.

    Returns:
        uint8 [H, W, 3], contiguous, transparency laid on white.

    Raises:
        ImageError: Its pixels cannot be read.
    """
    pixels, alpha = _read_pixels(picture, read_profile(picture))
    rgb = to_8_bits(pixels if alpha is None else on_white(pixels, alpha))
    return upright(rgb, read_orientation(picture))  # read after loading: Pillow has turned a TIFF by then


def read_profile(picture: Image.Image) -> bytes:
    """Returns the ICC profile, or nothing."""
    profile = picture.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else b""


def read_orientation(picture: Image.Image) -> int:
    """Returns the EXIF orientation, 1..8; 1, upright, if the metadata is damaged or does not say."""
    try:
        return valid_orientation(picture.getexif().get(0x0112, 1))
    except PILLOW_ERRORS:
        return 1


def read_frames(picture: Image.Image) -> int:
    """Returns the number of frames that the header gives; 2 stands for two or more in GIF and TIFF.

    These would have to be walked from frame to frame.
    """
    try:
        if picture.format in ("GIF", "TIFF"):
            return 2 if getattr(picture, "is_animated", False) else 1
        return min(int(getattr(picture, "n_frames", 1)), _MAX_FRAMES)
    except PILLOW_ERRORS:
        return 1


def reason_of(said: str, otherwise: DecodeReason) -> DecodeReason:
    """Returns the reason for what Pillow said."""
    said = said.lower()
    if any(words in said for words in _TRUNCATED):
        return "truncated"
    return "unsupported" if "unsupported" in said or "not supported" in said else otherwise


def _read_pixels(picture: Image.Image, profile: bytes) -> tuple[Pixels, Pixels | None]:
    """Returns sRGB [H, W, 3] as stored, and straight alpha [H, W] or None."""
    try:
        picture.load()
        if picture.mode in _DEEP_GREYS:
            return to_srgb(_deep_greys(picture)[..., None], profile), None
        if picture.mode in _ALPHA_MODES or "transparency" in picture.info:
            rgba = np.asarray(picture.convert("RGBA"))
            colours = 1 if picture.mode in _GREYS else 3
            return to_srgb(rgba[..., :colours], profile), np.ascontiguousarray(rgba[..., 3])
        if picture.mode not in ("RGB", "L", "CMYK"):
            picture = picture.convert("L" if picture.mode in _GREYS else "RGB")
        stored = np.asarray(picture)
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except PILLOW_ERRORS as error:
        raise ImageError(reason_of(str(error), "bad_entropy_data"), one_line(error)) from error
    return to_srgb(stored.reshape(*stored.shape[:2], -1), profile), None


def _deep_greys(picture: Image.Image) -> Uint16:
    """Returns greys of 16 bits [H, W] of a picture that somebody else has opened."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > _HIGHEST_16:
        raise ImageError("unsupported", f"greys from {values.min()} to {values.max()}: not 16 bits")
    return values.astype(np.uint16)
