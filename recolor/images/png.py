"""The chunks of a PNG (ISO/IEC 15948): which of them the pixels need, and whether the pixels are all there.

Pillow skips chunks that it does not need, and stops reading when it has its rows. Texts, times, sizes, backgrounds and
chunks of other programs may be out of order, repeated, of another form or damaged, as programs write them so: that is
noted, and such chunks are left out of the file that is decoded. Chunks that say what colours mean must be there once
and in front of the pixels, as decoders differ about which counts; before or behind the palette is one to all.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import Uint16
from recolor.errors import ImageError
from recolor.images.color_space import ColorSpace, icc_profile
from recolor.images.decoded import Decoded, check_size
from recolor.images.icc import to_srgb
from recolor.images.orientation import upright, upright_size
from recolor.images.pillow import (
    PILLOW_ERRORS,
    one_line,
    open_picture,
    read_frames,
    read_orientation,
    read_picture,
    read_profile,
    reason_of,
)
from recolor.images.png_bodies import fits
from recolor.images.png_color import describe_colors
from recolor.images.png_pixels import Layout, check_pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BEFORE_PLTE = (b"cICP", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB")
_BEFORE_IDAT = (b"bKGD", b"hIST", b"tRNS", b"pHYs", b"sPLT", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"acTL")
_MANY = frozenset((b"IDAT", b"tEXt", b"zTXt", b"iTXt", b"sPLT", b"fcTL", b"fdAT", b"gIFx"))
_ONCE_ANYWHERE = frozenset((b"IHDR", b"IEND", b"tIME", b"eXIf", b"mDCV", b"cLLI", b"dSIG", b"gIFg"))
_KNOWN = frozenset((*_BEFORE_PLTE, b"PLTE", *_BEFORE_IDAT)) | _MANY | _ONCE_ANYWHERE
# Colours depend on these: with two of them, or one behind the pixels, viewers show different pictures.
_DECIDES_COLOURS = frozenset((b"PLTE", b"tRNS", b"iCCP"))
# May be in disorder. Of the others no program writes any that is (all in the collected malformed files were made so).
_FREE = frozenset((b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"pHYs", b"bKGD"))
_GREY_ALPHA = 4  # colour type
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_ANIMATION = frozenset((b"acTL", b"fcTL", b"fdAT"))
_FREE_IN_FORM = _FREE | {b"sBIT"}  # written with another number of channels


@dataclass(slots=True)
class Chunks:
    """The chunks of a PNG.

    Attributes:
        header: Content of IHDR.
        palette: Number of entries of the palette.
        pixels: Content of all IDAT chunks.
        kept: Type and content of the chunks that are in order, in the order of the file, without IDAT and IEND.
        notes: What is not in order.
    """

    header: bytes = b""
    palette: int = 0
    pixels: bytearray = field(default_factory=bytearray)
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def content(self, kind: bytes) -> bytes:
        """Returns the content of a chunk that can stand once only, or nothing."""
        return next((body for name, body in self.kept if name == kind), b"")

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return self.header[8]


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decodes a PNG; see `recolor.images.decode`.

    Raises:
        ImageError: With a typed reason.
    """
    chunks = read_chunks(data, max_pixels)
    space = _color_space(chunks)
    source = tidy(chunks) if chunks.notes else data
    try:
        decoded = _decode(source, chunks, space, max_pixels)
    except ImageError:  # Pillow reads texts, too, and refuses large ones
        decoded = _decode(tidy(chunks, texts=False), chunks, space, max_pixels)
    if chunks.notes:
        _check_second_decoder(data, source, chunks)
    return replace(decoded, notes=tuple(chunks.notes), tidy=source if chunks.notes else None)


def _color_space(chunks: Chunks) -> ColorSpace | None:
    """Returns what the samples mean, and leaves out chunks that cannot say it."""
    described = describe_colors(chunks.kept)
    if described.unusable:
        chunks.notes.append(described.said)
        chunks.kept = [chunk for chunk in chunks.kept if chunk[0] not in described.unusable]
    return described.space


def _decode(source: bytes, chunks: Chunks, space: ColorSpace | None, max_pixels: int) -> Decoded:
    if chunks.bits == 16:
        return _decode_16(source, chunks, space)
    opened = open_picture(source, "PNG")
    transparent = opened.info.get("transparency")
    if opened.mode == "L" and isinstance(transparent, int):  # Pillow scales greys to 8 bits, but not this one
        opened.info["transparency"] = transparent * 255 // ((1 << chunks.bits) - 1)
    return read_picture(opened, max_pixels, space)


def read_chunks(data: bytes, max_pixels: int) -> Chunks:
    """Reads the chunks, and makes sure that all pixels are there and that their colours are beyond doubt.

    Raises:
        ImageError: `truncated`, `bad_entropy_data`, `no_end_marker`, `unsupported` or `too_many_pixels`.
    """
    chunks, seen = Chunks(), _Seen()
    for chunk in _split(data):
        _add(chunks, chunk, seen)
        seen.kinds.add(chunk.kind)
        seen.last = chunk.kind
    if b"IDAT" not in seen.kinds:
        raise ImageError("truncated", "PNG without an IDAT chunk")
    if chunks.header[9] == 3 and not chunks.palette:
        raise ImageError("bad_entropy_data", "PNG with palette indices and no PLTE chunk")
    layout = Layout.of(chunks.header)
    check_size(layout.width_px, layout.height_px, max_pixels)
    check_pixels(layout, chunks.pixels)
    if seen.last != b"IEND":
        chunks.notes.append("no IEND chunk")
    return chunks


def tidy(chunks: Chunks, *, texts: bool = True) -> bytes:
    """Returns a PNG of the chunks that are in order, in the order of the standard (section 5.6)."""
    order = {name: place for place, name in enumerate((b"IHDR", *_BEFORE_PLTE, b"PLTE", *_BEFORE_IDAT))}
    left_out = _ANIMATION if texts else _ANIMATION | _TEXTS
    still = [chunk for chunk in chunks.kept if chunk[0] not in left_out]
    kept = sorted(still, key=lambda chunk: order.get(chunk[0], len(order)))
    return join_chunks([*kept, *_pixel_chunks(chunks)])


def _pixel_chunks(chunks: Chunks) -> list[tuple[bytes, bytes]]:
    return [(b"IDAT", bytes(chunks.pixels)), (b"IEND", b"")]


def join_chunks(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Returns a PNG of these chunks, given as type and content."""
    parts = (len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4) for kind, body in chunks)
    return SIGNATURE + b"".join(parts)


@dataclass(slots=True)
class _Seen:
    """Types of the chunks so far, and the last one."""

    kinds: set[bytes] = field(default_factory=set)
    last: bytes = b""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Type and content of a chunk, whether the file ends within it, and what is wrong with it, or nothing."""

    kind: bytes
    body: memoryview
    is_cut: bool
    damage: str


def _split(data: bytes) -> Iterator[_Chunk]:
    """Yields the chunks up to IEND; what follows that is not the picture's."""
    view, position = memoryview(data), len(SIGNATURE)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4])
        kind, end = data[position + 4 : position + 8], position + 12 + length
        is_cut, damage = end > len(data), ""
        if is_cut:
            damage = f"the chunk {kind!r} at byte {position} is cut off"
        elif zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            damage = f"CRC of the chunk {kind!r} at byte {position} is wrong"
        yield _Chunk(kind, view[position + 8 : end - 4], is_cut, damage)
        if kind == b"IEND":
            return
        position = end


def _add(chunks: Chunks, chunk: _Chunk, seen: _Seen) -> None:
    """Adds a chunk, or the reason why it is left out.

    Raises:
        ImageError: Pixels or their colours depend on it.
    """
    kind = chunk.kind
    if chunk.is_cut:
        if kind == b"IDAT" or b"IDAT" not in seen.kinds:
            raise ImageError("truncated", chunk.damage)
        chunks.notes.append(chunk.damage)
        return
    _check_critical(chunk, seen)
    disorder = chunk.damage or _disorder(kind, seen)
    misfit = "" if disorder else _misfit(chunks, kind, chunk.body)
    if (disorder and kind in _KNOWN - _FREE) or (misfit and kind not in _FREE_IN_FORM):
        raise ImageError("bad_entropy_data", disorder or misfit)
    if kind in _BEFORE_PLTE and b"PLTE" in seen.kinds:
        chunks.notes.append(f"the chunk {kind!r} comes behind PLTE")
    if disorder or misfit:
        chunks.notes.append(disorder or misfit)
    elif kind == b"IDAT":
        chunks.pixels += chunk.body
    elif kind != b"IEND":
        chunks.kept.append((kind, bytes(chunk.body)))


def _misfit(chunks: Chunks, kind: bytes, body: memoryview) -> str:
    """Returns that the content of a chunk does not have its form, or nothing."""
    if kind == b"IHDR":
        chunks.header = bytes(body)
    if kind == b"PLTE":
        chunks.palette = len(body) // 3
    good = fits(kind, body, chunks.header, chunks.palette)
    return "" if good else f"the chunk {kind!r} of {len(body)} bytes does not fit"


def _check_critical(chunk: _Chunk, seen: _Seen) -> None:
    """Refuses what decoders refuse, or what they show in different colours.

    Upper case, by letter: critical, public, reserved (must be), unsafe to copy (section 5.4). An unknown chunk is no
    error unless it is critical (section 15.2.3): Apple's pictures carry an unregistered iDOT.
    """
    kind, behind_pixels = chunk.kind, b"IDAT" in seen.kinds
    said = ""
    if chunk.damage and kind not in _FREE:
        said = chunk.damage
    elif (kind == b"IHDR") == bool(seen.kinds):
        said = f"IHDR must come first and once; {kind!r} found"
    elif not kind.isalpha() or (kind not in _KNOWN and kind[:1].isupper()):
        said = f"unknown chunk {kind!r}"
    elif kind in _DECIDES_COLOURS and kind in seen.kinds:
        said = f"more than one chunk {kind!r}"
    elif kind in _DECIDES_COLOURS and behind_pixels:
        said = f"the chunk {kind!r} comes behind the pixels"
    elif kind == b"IDAT" and behind_pixels and seen.last != b"IDAT":
        said = "the IDAT chunks do not follow each other"
    if said:
        raise ImageError("bad_entropy_data", said)


def _disorder(kind: bytes, seen: _Seen) -> str:
    """Returns what is wrong with a chunk's name or place, or nothing."""
    if kind[2:3].islower():
        return f"no chunk may be called {kind!r}"
    if kind in seen.kinds and kind in _KNOWN - _MANY:
        return f"more than one chunk {kind!r}"
    if kind in _BEFORE_PLTE + _BEFORE_IDAT and b"IDAT" in seen.kinds:
        return f"the chunk {kind!r} comes behind the pixels"
    return ""


def _decode_16(source: bytes, chunks: Chunks, space: ColorSpace | None) -> Decoded:
    """Decodes 16 bits a channel, of which Pillow would keep 8."""
    # Without chunks that the pixels do not need: libpng refuses some of them.
    bare = join_chunks([*(chunk for chunk in chunks.kept if chunk[0] in (b"IHDR", b"tRNS")), *_pixel_chunks(chunks)])
    try:
        stored: Uint16 = imagecodecs.png_decode(bare)
    except (imagecodecs.PngError, ValueError) as error:
        raise ImageError("bad_entropy_data", one_line(error)) from error
    stored = stored.reshape(*stored.shape[:2], -1)
    colours = 1 if chunks.header[9] in (0, 4) else 3
    key = chunks.content(b"tRNS")
    values = stored[..., :colours]
    alpha = stored[..., colours] if stored.shape[2] > colours else _alpha_of_key(values, key) if key else None
    with open_picture(source, "PNG") as picture:
        try:
            picture.load()
        except PILLOW_ERRORS as error:
            raise ImageError(reason_of(str(error), "bad_entropy_data"), one_line(error)) from error
        mode, own_profile, frames = picture.mode, read_profile(picture), read_frames(picture)
        orientation = read_orientation(picture)
    profile = own_profile if space is None else icc_profile(space, grey=colours == 1)
    pixels = to_srgb(_full_range(values, chunks.content(b"sBIT")), profile)
    width_px, height_px = upright_size(values.shape[1], values.shape[0], orientation)
    return Decoded(
        pixels=upright(pixels, orientation),
        alpha=None if alpha is None else upright(alpha, orientation),
        width_px=width_px,
        height_px=height_px,
        format="PNG",
        mode=mode,
        frames=frames,
        orientation=orientation,
        icc=bool(own_profile),
    )


def _alpha_of_key(values: Uint16, key: bytes) -> Uint16:
    """Returns alpha where one value means transparent (tRNS)."""
    transparent = np.frombuffer(key, ">u2")
    return np.where((values == transparent).all(axis=2), 0, 65535).astype(np.uint16)


def _full_range(values: Uint16, significant: bytes) -> Uint16:
    """Scales values that have fewer significant bits (sBIT) and were not scaled to 16 (section 12.4), as they must be.

    Scaled values repeat their high bits in the low ones; a dark picture that was scaled is left as it is so.
    """
    bits = max(significant[: values.shape[2]], default=16)
    if not 8 <= bits < 16 or values.max() >> bits:
        return values
    if np.array_equal(values, _scaled(values >> np.uint16(16 - bits), bits)):
        return values
    return _scaled(values, bits)


def _scaled(values: NDArray[np.unsignedinteger], bits: int) -> Uint16:
    highest = (1 << bits) - 1
    return ((values.astype(np.uint32) * 65535 + highest // 2) // highest).astype(np.uint16)


def _check_second_decoder(data: bytes, source: bytes, chunks: Chunks) -> None:
    """Refuses a file that a second decoder does not show, or shows with other pixels.

    Raises:
        ImageError: `bad_entropy_data` with the first note.
    """
    if chunks.bits == 16 or chunks.header[9] == _GREY_ALPHA:
        return  # kinds that imagecodecs' libspng does not decode; their rows and checksums are good
    refused = ImageError("bad_entropy_data", f"{chunks.notes[0]}, and decoders disagree about the pixels")
    try:
        second: NDArray[np.unsignedinteger] = imagecodecs.spng_decode(data)
    except (imagecodecs.SpngError, ValueError) as error:
        raise refused from error
    second = second.reshape(*second.shape[:2], -1)
    channels = ("L", "LA", "RGB", "RGBA")[second.shape[2] - 1]
    with open_picture(source, "PNG") as picture:
        if second.dtype == np.uint8 and picture.mode == channels:  # others are stored in another way by each decoder
            first = np.asarray(picture)
            if not np.array_equal(first.reshape(second.shape), second):
                raise refused
        elif second.shape[:2] != (picture.height, picture.width):
            raise refused
