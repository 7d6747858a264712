import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from skimage import data
from skimage.color import rgb2lab

from recolor.color.gamut import join
from recolor.colorize.encode import encode
from recolor.colorize.photo import read_photo
from recolor.config.settings import MeasureConfig
from recolor.images import decode
from recolor.images.icc import srgb_profile, to_srgb

LIMITS = MeasureConfig()
GREY = data.camera()[100:160, 200:290]  # 60 x 90


def saved(pixels, file_format, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def with_tifffile(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def png_16(pixels, colour_type, profile):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"iCCP", b"x\0\0" + zlib.compress(profile)), (b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in (*parts, (b"IEND", b"")))


def profile_written(source):
    """The profile of the coloured file, in the format of the photograph."""
    photo = read_photo(source, LIMITS)
    written = encode(join(photo.L, np.zeros((*photo.L.shape, 2), np.float32)), None, photo.metadata, photo.format, 95)
    with Image.open(io.BytesIO(written)) as picture:
        return picture.info.get("icc_profile")


def lightness(rgb):
    return rgb2lab(rgb)[..., 0]


def grey_profile(gamma=1.0):
    """ICC.1:2010: a grey profile of version 2 with a power for its curve."""
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(78)),
        (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)),
        (b"kTRC", b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"),
    ]
    return profile_of(b"GRAY", tags)


def profile_of(space, tags):
    start = 132 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, unpadded in tags:
        body = unpadded + bytes(-len(unpadded) % 4)
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        start + len(bodies), 0x02100000, b"mntr", space, b"XYZ ", b"acsp", 63190, 65536, 54061,
    )  # fmt: skip
    return head + table + bodies


def rgb_profile(gamma=1.8):
    """Adobe RGB's primaries, adapted to D50, with a different curve for each channel."""
    columns = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78)),
        (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)),
    ]
    for number, (name, column) in enumerate(zip("rgb", columns)):
        fixed = struct.pack(">3i", *(round(value * 65536) for value in column))
        tags.append((f"{name}XYZ".encode(), b"XYZ \0\0\0\0" + fixed))
        curve = struct.pack(">IH", 1, round((gamma + number / 10) * 256)) + b"\0\0"
        tags.append((f"{name}TRC".encode(), b"curv\0\0\0\0" + curve))
    return profile_of(b"RGB ", tags)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SMOOTH = np.dstack([np.linspace(low, high, 60 * 90).reshape(60, 90) for low, high in ((20, 200), (60, 180), (90, 120))])


def by_little_cms(pixels, profile, flags=ImageCms.Flags.NONE):
    return ImageCms.profileToProfile(
        Image.fromarray(pixels), io.BytesIO(profile), io.BytesIO(SRGB), outputMode="RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=flags,
    )  # fmt: skip


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_greys_of_a_grey_profile_look_as_the_profile_says(file_format):
    source = saved(
        GREY, file_format, icc_profile=grey_profile(1.0), **({"quality": 100} if file_format == "JPEG" else {})
    )
    expected = lightness(np.asarray(by_little_cms(GREY, grey_profile(1.0))))
    assert np.abs(read_photo(source, LIMITS).L - expected).mean() < 0.3
    assert np.abs(expected - lightness(np.repeat(GREY[..., None], 3, 2))).mean() > 5  # the profile matters


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bits_of_a_profile_are_what_little_cms_says_of_eight(file_format):
    eight = SMOOTH.astype(np.uint8)
    if file_format == "TIFF":
        source = with_tifffile(eight.astype(np.uint16) * 257, photometric="rgb", iccprofile=rgb_profile())
        grey = saved(eight[..., 0].astype(np.uint16) * 257, "TIFF", icc_profile=grey_profile(1.5))
    else:
        source = png_16(eight.astype(np.uint16) * 257, 2, rgb_profile())
        grey = png_16(eight[..., 0].astype(np.uint16) * 257, 0, grey_profile(1.5))
    expected = lightness(np.asarray(by_little_cms(eight, rgb_profile())))
    assert np.abs(read_photo(source, LIMITS).L - expected).max() < 0.35
    assert np.abs(expected - lightness(eight)).mean() > 2
    expected = lightness(np.asarray(by_little_cms(np.ascontiguousarray(eight[..., 0]), grey_profile(1.5))))
    assert np.abs(read_photo(grey, LIMITS).L - expected).max() < 0.35


@pytest.mark.parametrize(
    ("profile", "kept"),
    [(b"", None), (SRGB, "as it is"), (grey_profile(), "sRGB"), (rgb_profile(), "sRGB"), (b"broken" * 30, "sRGB")],
    ids=["none", "sRGB", "grey", "wide", "broken"],  # not the bytes: profiles contain their creation time
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_profile_describes_what_is_written(file_format, profile, kept):
    written = profile_written(saved(GREY, file_format, icc_profile=profile or None))
    if kept == "as it is":
        assert written == SRGB
    elif kept is None:
        assert written is None
    else:
        opened_profile = ImageCms.ImageCmsProfile(io.BytesIO(written)).profile
        assert opened_profile.xcolor_space == "RGB "
        assert opened_profile.profile_description.startswith("sRGB")
        assert written == srgb_profile()


def bmp_with_profile(picture, profile, *, cut=0):
    """A BMP with a header of version 5, which embeds a profile behind the pixels."""
    plain = saved(picture, "BMP")
    start = int.from_bytes(plain[10:14], "little")
    header = bytearray(plain[14:54].ljust(124, b"\0"))
    header[:4] = struct.pack("<I", 124)
    header[56:60] = b"DEBM"
    header[112:120] = struct.pack("<II", len(plain) + 84 - 14, len(profile))
    whole = plain[:14] + bytes(header) + plain[54:] + profile[: len(profile) - cut]
    return whole[:2] + struct.pack("<I", len(whole)) + whole[6:10] + struct.pack("<I", start + 84) + whole[14:]


@pytest.mark.parametrize("picture", [SMOOTH.astype(np.uint8), GREY])
def test_the_profile_that_a_bmp_embeds_is_applied(picture):
    decoded = decode(bmp_with_profile(picture, rgb_profile()), LIMITS)
    rgb = np.broadcast_to(picture.reshape(*picture.shape[:2], -1), (*picture.shape[:2], 3))
    expected = np.asarray(by_little_cms(np.ascontiguousarray(rgb), rgb_profile())).astype(int)
    assert decoded.icc
    assert np.abs(decoded.pixels - expected).max() <= 1
    assert np.abs(expected - rgb).mean() > 2


def test_a_bmp_whose_profile_is_cut_off_is_left_as_it_is():
    decoded = decode(bmp_with_profile(GREY, rgb_profile(), cut=9), LIMITS)
    assert not decoded.icc
    assert np.array_equal(decoded.pixels[..., 0], GREY)


def grey_profile_of_curve(curve):
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(78)),
        (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)),
        (b"kTRC", curve),
    ]
    return profile_of(b"GRAY", tags)


def parametric(function, *values):
    fixed = struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))
    return b"para\0\0\0\0" + struct.pack(">HH", function, 0) + fixed


CURVES = {
    "identity": b"curv\0\0\0\0" + struct.pack(">I", 0),
    "table": b"curv\0\0\0\0" + struct.pack(">I9H", 9, 0, 500, 3000, 8000, 15000, 24000, 36000, 50000, 65535) + b"\0\0",
    "power": parametric(0, 1.8),
    "CIE 122": parametric(1, 2.2, 1.1, -0.1),
    "IEC 61966-3": parametric(2, 2.2, 0.9, -0.05, 0.1),
    "sRGB": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "all parameters": parametric(4, 2.2, 0.95, 0.04, 0.2, 0.1, 0.01, 0.005),
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_curves_of_every_kind_are_what_little_cms_makes_of_them(curve):
    profile = grey_profile_of_curve(curve)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 8, axis=0)
    expected = np.asarray(by_little_cms(ramp, profile, ImageCms.Flags.NOOPTIMIZE)).astype(float)
    converted = to_srgb(ramp[..., None].astype(np.uint16) * 257, profile) / 257
    assert np.abs(converted - expected).max() < 0.75  # half of it is Little CMS's rounding


def test_a_profile_that_is_a_table_is_applied():
    """A profile with a 16-bit lookup table instead of curves: Lab of greys, L from 100 to 0."""
    lut = b"mft2\0\0\0\0" + bytes([1, 3, 2, 0]) + struct.pack(">9i", *(65536 if n % 4 == 0 else 0 for n in range(9)))
    lut += struct.pack(">HH", 2, 2) + struct.pack(">2H", 0, 65535)
    lut += struct.pack(">6H", 0xFF00, 0x8000, 0x8000, 0, 0x8000, 0x8000) + struct.pack(">6H", *(0, 65535) * 3)
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"neg.\0" + bytes(78)),
        (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)),
        (b"A2B0", lut),
    ]
    made = bytearray(profile_of(b"GRAY", tags))
    made[20:24] = b"Lab "
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 8, axis=0)
    L = read_photo(saved(ramp.astype(np.uint16) * 257, "TIFF", icc_profile=bytes(made)), LIMITS).L
    assert np.abs(L[0] - np.linspace(100, 0, 256)).max() < 1


@pytest.mark.parametrize("cut", [0, 20, 128, 140, 160, 200])
def test_a_profile_that_is_cut_off_leaves_the_pixels_as_they_are(cut):
    pixels = np.arange(5400, dtype=np.uint16).reshape(60, 90, 1)
    broken = grey_profile(1.0)[:cut]
    assert np.array_equal(to_srgb(pixels, broken), np.repeat(pixels, 3, axis=2))
