"""Files that are good though unusual, and hostile ones: each was judged wrongly once."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from images.encoding import encoded, tiff
from PIL import Image, ImageCms
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode
from recolor.images.icc import is_srgb

LIMITS = MeasureConfig()
RGB = photographs.chelsea()[:96, :128]
GREY = RGB[..., 1].copy()


def chunk(kind, body, crc=None):
    return (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)
    )


def png(rows, colour, bits, *chunks, packed=None, width=None):
    header = struct.pack(">IIBBBBB", width or rows.shape[1], len(rows), bits, colour, 0, 0, 0)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    body = zlib.compress(raw) if packed is None else packed(zlib.compress(raw))
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", body), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


BAD_TEXT = chunk(b"tEXt", b"a\0b", crc=1)


@pytest.mark.parametrize(
    "source",
    [
        png(GREY, 3, 8, chunk(b"PLTE", bytes(range(256)) * 3), chunk(b"tRNS", b"\0\x80\xff"), BAD_TEXT),
        png(GREY.astype(">u2"), 0, 16, BAD_TEXT),
        png(RGB.astype(">u2").reshape(96, -1), 2, 16, BAD_TEXT, width=128),
        png(np.dstack([GREY, GREY]).astype(">u2").reshape(96, -1), 4, 16, BAD_TEXT, width=128),
        png(np.dstack([GREY, GREY]).reshape(96, -1), 4, 8, BAD_TEXT, width=128),
    ],
    ids=["palette with transparency", "grey 16", "rgb 16", "grey alpha 16", "grey alpha 8"],
)
def test_an_untidy_png_of_any_kind_is_kept(source):
    assert len(decode(source, LIMITS).notes) == 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_grey_of_a_png_is_one_of_its_own_bits(bits):
    values = (np.arange(16).reshape(2, 8) % (1 << bits)).astype(np.uint8)
    packed = np.packbits(np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(2, -1), axis=1)
    source = png(packed, 0, bits, chunk(b"tRNS", struct.pack(">H", 1)), width=8)
    np.testing.assert_array_equal(decode(source, LIMITS).alpha, np.where(values == 1, 0, 255))


def test_a_png_whose_texts_are_large_is_read():
    text = chunk(b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(bytes(3_000_000)))
    for bits in (8, 16):
        rows = GREY if bits == 8 else GREY.astype(">u2")
        assert decode(png(rows, 0, bits, text), LIMITS).width_px == 128


def test_a_16_bit_png_whose_checksum_is_cut_off_has_a_verdict():
    source = png(GREY.astype(">u2"), 0, 16, packed=lambda body: body[:-1])
    try:
        assert decode(source, LIMITS).width_px == 128
    except ImageError as error:
        assert error.reason in {"truncated", "bad_entropy_data"}  # noqa: PT017 - either is right


def test_a_bigtiff_whose_directory_is_nowhere_is_truncated():
    with pytest.raises(ImageError, match="truncated"):
        decode(b"II+\0\x08\0\0\0" + b"\xff" * 8, LIMITS)


def circle(ground, figure, dtype=np.uint8):
    y, x = np.mgrid[:200, :300]
    return np.where((x - 140) ** 2 + (y - 80) ** 2 < 60**2, figure, ground).astype(dtype)


@pytest.mark.parametrize(
    "source",
    [
        encoded(np.dstack([circle(0, 230)] * 3), "BMP"),
        encoded(np.dstack([circle(0, 230)] * 3), "TIFF"),
        encoded(circle(0, 200), "TIFF"),
        tiff(circle(0, 255), photometric="miniswhite"),
        tiff(circle(0, 60000, np.uint16), photometric="miniswhite"),
        encoded(Image.fromarray(np.dstack([circle(0, 230)] * 4), "CMYK"), "TIFF"),
        encoded(np.dstack([circle(0, 230)] * 3 + [circle(0, 255)]), "TIFF"),
    ],
)
def test_a_figure_on_a_ground_of_zeros_is_whole(source):
    assert decode(source, LIMITS).notes == ()


@pytest.mark.parametrize("file_format", ["WEBP", "AVIF"])
def test_metadata_may_end_in_zeros(file_format):
    exif = Image.Exif()
    exif[0x010E] = "x"
    assert decode(encoded(RGB, file_format, exif=exif.tobytes() + bytes(600)), LIMITS).width_px == 128


def grey_tiff(*samples, **options):
    return tiff(np.dstack(samples), planarconfig="contig", **options)


FULL = np.full_like(GREY, 255)
GREYS = {
    "associated alpha": grey_tiff(GREY, FULL, photometric="minisblack", extrasamples=["assocalpha"]),
    "white is zero with alpha": grey_tiff(255 - GREY, FULL, photometric="miniswhite", extrasamples=["unassalpha"]),
    "extra channels": grey_tiff(GREY, GREY, GREY, photometric="minisblack", extrasamples=["unspecified"] * 2),
}


@pytest.mark.parametrize("source", GREYS.values(), ids=GREYS)
def test_greys_of_8_bits_with_other_samples_are_read(source):
    assert np.array_equal(decode(source, LIMITS).rgb[..., 0], GREY)


def test_the_last_strip_of_an_uncompressed_tiff_may_state_the_size_of_a_full_one():
    source = bytearray(tiff(GREY[:90], photometric="minisblack", rowsperstrip=32))
    with tifffile.TiffFile(io.BytesIO(bytes(source))) as file:
        tag = file.pages[0].tags[279]
        last = tag.valueoffset + 2 * tag.dtype.value // tag.dtype.value * struct.calcsize(tag.dataformat[-1])
        source[last : last + struct.calcsize(tag.dataformat[-1])] = struct.pack("<" + tag.dataformat[-1], 32 * 128)
    assert np.array_equal(decode(bytes(source), LIMITS).rgb[..., 0], GREY[:90])


def test_a_tiff_of_hundreds_of_samples_or_of_depth_is_refused():
    many = tiff(np.zeros((20, 20, 300), np.uint16), photometric="rgb", compression="zlib", planarconfig="contig")
    deep = tiff(np.zeros((2, 32, 32), np.uint16), photometric="minisblack", volumetric=True, tile=(2, 32, 32))
    for source in (many, deep):
        with pytest.raises(ImageError) as error:
            decode(source, LIMITS)
        assert error.value.reason == "unsupported"


def test_a_profile_that_only_calls_itself_srgb_is_applied():
    linear = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert is_srgb(bytes(linear))
    at = linear.index(b"para", 132)
    linear[at : at + 20] = b"curv" + bytes(4) + struct.pack(">IHH", 1, 256, 0) + bytes(4)  # gamma 1, for all channels
    assert not is_srgb(bytes(linear))
    assert decode(encoded(RGB, "PNG", icc_profile=bytes(linear)), LIMITS).rgb.mean() > RGB.mean() + 20


def gif_on_a_screen(picture, size, left_top, **options):
    """A GIF whose only frame is somewhere on a larger screen, or cut by a smaller one."""
    source = bytearray(encoded(picture, "GIF", **options))
    struct.pack_into("<HH", source, 6, *size)
    position = 13 + 3 * (2 << (source[10] & 7))
    while source[position] == 0x21:  # extensions
        position += 2
        while source[position]:
            position += source[position] + 1
        position += 1
    struct.pack_into("<HH", source, position + 1, *left_top)
    return bytes(source)


@pytest.mark.parametrize("options", [{}, {"transparency": 7}, {"background": 9}])
@pytest.mark.parametrize("picture", [Image.fromarray(GREY), Image.fromarray(RGB).quantize(64)])
def test_what_a_gif_shows_beside_its_first_frame_is_transparent(picture, options):
    whole = decode(encoded(picture, "GIF", **options), LIMITS)
    placed = decode(gif_on_a_screen(picture, (200, 150), (40, 30), **options), LIMITS)
    frame = (slice(30, 30 + 96), slice(40, 40 + 128))
    assert (placed.width_px, placed.height_px) == (200, 150)
    assert np.array_equal(placed.rgb[frame], whole.rgb)
    outside = np.ones((150, 200), bool)
    outside[frame] = False
    assert not placed.alpha[outside].any()
    assert (placed.rgb[outside] == 255).all()


def test_a_gif_whose_first_frame_goes_beyond_its_screen_is_opaque():
    assert decode(gif_on_a_screen(GREY, (50, 40), (0, 0)), LIMITS).alpha is None


@pytest.mark.timeout(60)  # minutes to hours, if each were compared with all before it
def test_clear_codes_without_end_and_pieces_without_end_take_linear_time():
    codes, buffer, available = bytearray(), 0, 0
    for code in [2048, 0, *[2048] * 200_000]:
        buffer |= code << available
        available += 12
        while available >= 8:
            codes.append(buffer & 255)
            buffer, available = buffer >> 8, available - 8
    blocks = b"".join(
        bytes([len(part)]) + part for part in (bytes(codes[at : at + 255]) for at in range(0, len(codes), 255))
    )
    gif = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b",\0\0\0\0\1\0\1\0\0\x0b" + blocks + b"\0;"
    jpeg = encoded(RGB, "JPEG")
    jpeg = jpeg[:2] + b"\xff\xe0\0\2\0" * 400_000 + jpeg[2:-2]
    assert decode(gif, LIMITS).notes == ("no end code behind the pixels",)
    assert decode(jpeg, LIMITS).notes == ("400000 stray bytes between segments", "no end marker")


def test_a_jpeg_in_several_scans_is_not_excused_from_the_limit():
    limits = MeasureConfig(max_pixels=5000)
    assert decode(encoded(RGB, "JPEG"), limits, 16).width_px == 128
    several = bytearray(encoded(RGB, "JPEG"))
    several[several.index(b"\xff\xda") + 4] = 1  # the first scan holds one of three components
    with pytest.raises(ImageError, match="too_many_pixels"):
        decode(bytes(several), limits, 16)
