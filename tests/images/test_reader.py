"""One picture, kept in every way that the reader claims to read, has the same pixels."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images.encoding import encoded, tiff
from PIL import Image, ImageCms
from skimage import data as photographs

from recolor.cleaning.measure.rows import IndexedFile, measure_files
from recolor.colorize.photo import read_photo
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode

LIMITS = MeasureConfig()
COLOUR = photographs.chelsea()[60:160, 100:250]  # 100 x 150
GREY = COLOUR[..., 1].copy()
DEEP = np.round(COLOUR.astype(float) * 257).astype(np.uint16) ^ np.uint16(0x55)  # low bits that 8 bits do not have
DEEP_GREY = DEEP[..., 1].copy()


def png(values, colour, bits, *chunks):
    """A PNG of 16-bit samples [H, W, C], written as they are."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff_by_hand(samples, bits, *, photometric=1, order="<", **tags):
    """A grey TIFF of one strip with the bytes `samples`; further tags by number."""
    entries = {256: (4, 150), 257: (4, 100), 258: (3, bits), 259: (3, 1), 262: (3, photometric), 277: (3, 1)}
    entries |= {278: (4, 100), 273: (4, 0), 279: (4, len(samples))} | {
        int(tag[1:]): value for tag, value in tags.items()
    }
    start = 8 + 2 + 12 * len(entries) + 4
    entries[273] = (4, start)
    directory = struct.pack(order + "H", len(entries))
    for tag, (kind, value) in sorted(entries.items()):
        packed = struct.pack(order + ("H" if kind == 3 else "I"), value).ljust(4, b"\0")
        directory += struct.pack(order + "HHI", tag, kind, 1) + packed
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", 8) + directory + bytes(4) + samples


def packed_12(values):
    pairs = values.reshape(-1, 2).astype(np.uint32)
    first, second = pairs[:, 0], pairs[:, 1]
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8).tobytes()


def with_alpha(pixels):
    return np.dstack([pixels, np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype)])


TWELVE = (DEEP_GREY >> 4).astype(np.uint16)
LOSSLESS = ("zlib", "lzw", "packbits", "lzma", "zstd")
SAME = {
    "png": (COLOUR, encoded(COLOUR, "PNG")),
    "png rgba": (COLOUR, encoded(with_alpha(COLOUR), "PNG")),
    "webp": (COLOUR, encoded(COLOUR, "WEBP", lossless=True)),
    "bmp": (COLOUR, encoded(COLOUR, "BMP")),
    "avif": (COLOUR, encoded(COLOUR, "AVIF", quality=100, subsampling="4:4:4")),
    "tiff": (COLOUR, encoded(COLOUR, "TIFF")),
    "tiff planar": (COLOUR, tiff(np.moveaxis(COLOUR, 2, 0), photometric="rgb", planarconfig="separate")),
    "tiff big-endian": (COLOUR, tiff(COLOUR, photometric="rgb", byteorder=">")),
    "bigtiff": (COLOUR, tiff(COLOUR, photometric="rgb", bigtiff=True)),
    "tiff tiles": (COLOUR, tiff(COLOUR, photometric="rgb", tile=(32, 48))),
    "tiff strips": (COLOUR, tiff(COLOUR, photometric="rgb", rowsperstrip=7)),
    "tiff predictor": (COLOUR, tiff(COLOUR, photometric="rgb", compression="lzw", predictor=True)),
    "tiff alpha": (COLOUR, tiff(with_alpha(COLOUR), photometric="rgb", extrasamples=["unassalpha"])),
    "png grey": (GREY, encoded(GREY, "PNG")),
    "gif grey": (GREY, encoded(GREY, "GIF")),
    "tiff grey": (GREY, tiff(GREY, photometric="minisblack")),
    "tiff white is zero": (GREY, tiff(255 - GREY, photometric="miniswhite")),
    "png 16": (DEEP, png(DEEP, 2, 16)),
    "png 16 alpha": (DEEP, png(with_alpha(DEEP), 6, 16)),
    "png 16 grey": (DEEP_GREY, png(DEEP_GREY[..., None], 0, 16)),
    "png 16 grey alpha": (DEEP_GREY, png(np.dstack([DEEP_GREY, np.full_like(DEEP_GREY, 65535)]), 4, 16)),
    "tiff 16": (DEEP, tiff(DEEP, photometric="rgb")),
    "tiff 16 big-endian": (DEEP, tiff(DEEP, photometric="rgb", byteorder=">")),
    "tiff 16 planar": (DEEP, tiff(np.moveaxis(DEEP, 2, 0), photometric="rgb", planarconfig="separate")),
    "tiff 16 planar big-endian": (
        DEEP, tiff(np.moveaxis(DEEP, 2, 0), photometric="rgb", planarconfig="separate", byteorder=">"),
    ),
    "tiff 16 planar tiles": (
        DEEP, tiff(np.moveaxis(DEEP, 2, 0), planarconfig="separate", tile=(32, 48), compression="zlib", photometric=2),
    ),
    "tiff 16 tiles": (DEEP, tiff(DEEP, photometric="rgb", tile=(32, 48))),
    "tiff 16 alpha": (DEEP, tiff(with_alpha(DEEP), photometric="rgb", extrasamples=["unassalpha"])),
    "tiff 16 associated": (DEEP, tiff(with_alpha(DEEP), photometric="rgb", extrasamples=["assocalpha"])),
    "tiff 16 grey": (DEEP_GREY, tiff(DEEP_GREY, photometric="minisblack")),
    "tiff 16 white is zero": (DEEP_GREY, tiff(65535 - DEEP_GREY, photometric="miniswhite")),
    "tiff float": (DEEP, tiff((DEEP / 65535).astype(np.float32), photometric="rgb")),
    "tiff float grey predictor": (
        DEEP_GREY, tiff((DEEP_GREY / 65535).astype("f4"), photometric="minisblack", compression="zlib", predictor=3),
    ),
    "tiff 12 packed": ((TWELVE * 65535.0 / 4095).round(), tiff_by_hand(packed_12(TWELVE), 12)),
    "tiff 12 packed big-endian": ((TWELVE * 65535.0 / 4095).round(), tiff_by_hand(packed_12(TWELVE), 12, order=">")),
    "tiff 12 in 16": (
        (TWELVE * 65535.0 / 4095).round(), tiff_by_hand(TWELVE.astype("<u2").tobytes(), 16, t281=(3, 4095)),
    ),
    "png 12 in 16": ((TWELVE * 65535.0 / 4095).round(), png(TWELVE[..., None], 0, 16, (b"sBIT", b"\x0c"))),
    **{f"tiff {name}": (COLOUR, tiff(COLOUR, photometric="rgb", compression=name)) for name in LOSSLESS},
    **{f"tiff 16 {name}": (DEEP, tiff(DEEP, photometric="rgb", compression=name)) for name in LOSSLESS},
    **{
        f"tiff 16 {name} predictor": (DEEP, tiff(DEEP, photometric=2, compression=name, predictor=2, byteorder=order))
        for name, order in (("zlib", "<"), ("lzw", ">"), ("zstd", "<"))
    },
}  # fmt: skip


def expected_of(pixels):
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


@pytest.mark.parametrize(("pixels", "source"), SAME.values(), ids=SAME)
def test_every_container_gives_the_pixels_that_it_holds(pixels, source):
    decoded = decode(source, LIMITS)
    tolerance = 2 if decoded.format == "AVIF" else 0
    assert np.abs(decoded.pixels.astype(int) - expected_of(pixels)).max() <= tolerance
    assert decoded.pixels.dtype == (np.uint8 if pixels.dtype == np.uint8 else np.uint16)
    assert decoded.alpha is None or decoded.alpha.min() == np.iinfo(decoded.pixels.dtype).max
    assert decoded.notes == ()


@pytest.mark.parametrize(
    "name", ["png grey", "png 16 grey", "tiff 16 white is zero", "tiff 12 packed", "tiff float grey predictor"]
)
def test_measuring_and_colouring_see_the_same_picture(name, tmp_path):
    file = tmp_path / "picture"
    file.write_bytes(SAME[name][1])
    (row,) = measure_files([IndexedFile(file, file.stat().st_size)], LIMITS)
    (reference,) = measure_files([write(tmp_path / "reference", encoded(GREY, "PNG"))], LIMITS)
    assert row["L_mean"] == pytest.approx(reference["L_mean"], abs=0.2)
    assert read_photo(SAME[name][1], LIMITS).L.mean() == pytest.approx(row["L_mean"], abs=1)


def write(file, data):
    file.write_bytes(data)
    return IndexedFile(file, len(data))


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
LAYOUTS = st.fixed_dictionaries({
    "photometric": st.sampled_from(["rgb", "minisblack", "miniswhite"]),
    "byteorder": st.sampled_from("<>"),
    "planarconfig": st.sampled_from(["contig", "separate"]),
    "compression": st.sampled_from([None, "zlib", "lzw"]),
    "tile": st.sampled_from([None, (16, 16)]),
})  # fmt: skip


@settings(max_examples=60)
@given(LAYOUTS, st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16]), st.integers(1, 8))
def test_any_tiff_gives_its_pixels(layout, seed, dtype, orientation):
    random, highest = np.random.default_rng(seed), np.iinfo(dtype).max
    height, width = random.integers(1, 40, 2)
    colours = layout["photometric"] == "rgb"
    pixels = random.integers(0, highest, (height, width, 3 if colours else 1), dtype, endpoint=True)
    pixels[0, 0] = highest  # the range is used
    stored = highest - pixels if layout["photometric"] == "miniswhite" else pixels
    if layout["planarconfig"] == "separate":
        stored = np.moveaxis(stored, 2, 0)
    options = layout if colours else layout | {"planarconfig": None}
    stored = stored if colours else stored.reshape(height, width)
    decoded = decode(tiff(stored, extratags=[(274, 3, 1, orientation, True)], **options), LIMITS)
    places = Image.fromarray(np.arange(height * width, dtype=np.int32).reshape(height, width))
    upright = np.asarray(places.transpose(TURNS[orientation]) if orientation > 1 else places)
    assert np.array_equal(decoded.pixels, np.broadcast_to(pixels, (height, width, 3)).reshape(-1, 3)[upright])
    assert (decoded.orientation, decoded.width_px) == (orientation, upright.shape[1])


REFUSED = {
    "16 bits of which 12 are used, and nothing says so": (
        tiff_by_hand(TWELVE.astype("<u2").tobytes(), 16),
        "MaxSampleValue",
    ),
    "signed": (tiff((DEEP_GREY // 2).astype(np.int16), photometric="minisblack"), "INT"),
    "32 bits": (tiff(DEEP_GREY.astype(np.uint32), photometric="minisblack"), "32 bits"),
    "float beyond 1": (tiff(DEEP_GREY.astype(np.float32), photometric="minisblack"), "floating-point"),
    "not a number": (tiff(np.full((9, 9), np.nan, np.float32), photometric="minisblack"), "floating-point"),
    "three samples of grey": (tiff_by_hand(DEEP.astype("<u2").tobytes(), 16, t277=(3, 3)), "3 samples for 1 colours"),
    "raw data": (tiff(DEEP_GREY, photometric="cfa"), "CFA"),
    "16-bit palette": (tiff_by_hand(DEEP_GREY.astype("<u2").tobytes(), 16, photometric=3), "PALETTE"),
}


@pytest.mark.parametrize(("source", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_right_is_refused_by_name(source, said):
    with pytest.raises(ImageError, match=said) as error:
        decode(source, LIMITS)
    assert error.value.reason == "unsupported"


def test_a_dark_picture_whose_bits_were_scaled_is_not_scaled_again():
    dark = (TWELVE >> 4).astype(np.uint32)
    scaled = ((dark * 65535 + 2047) // 4095).astype(np.uint16)
    assert np.array_equal(decode(png(scaled[..., None], 0, 16, (b"sBIT", b"\x0c")), LIMITS).pixels[..., 0], scaled)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_profile_of_other_channels_changes_nothing(kind):
    of_lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    plain = decode(encoded(COLOUR, kind), LIMITS).pixels
    assert np.array_equal(decode(encoded(COLOUR, kind, icc_profile=of_lab), LIMITS).pixels, plain)
