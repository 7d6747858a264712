import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from skimage import data
from skimage.color import rgb2lab

from recolor.color.gamut import join, join16
from recolor.colorize.encode import FORMATS_16_BIT, encode
from recolor.colorize.photo import has_colour, read_photo
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode, read_bytes

SHARED = Path(__file__).parents[2] / "../shared/data"
LIMITS = MeasureConfig()
GREY = data.camera()[100:160, 200:290]  # 60 x 90
RGB = data.coffee()[100:160, 200:290]
RANDOM = np.random.default_rng(11)
GREY_16 = RANDOM.integers(0, 65536, (60, 90), dtype=np.uint16)
RGB_16 = RANDOM.integers(0, 65536, (60, 90, 3), dtype=np.uint16)
ALPHA = RANDOM.integers(0, 256, (60, 90), dtype=np.uint8)
ALPHA_16 = RANDOM.integers(0, 65536, (60, 90), dtype=np.uint16)
ARTIST = "Ansel – in the field"


def saved(picture, file_format, **options):
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, file_format, **options)
    return buffer.getvalue()


def with_cv2(suffix, pixels):
    order = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[1 if pixels.ndim == 2 else pixels.shape[2]]
    return cv2.imencode(suffix, pixels if order is None else cv2.cvtColor(pixels, order))[1].tobytes()


def with_tifffile(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def png_16(pixels, colour_type, *chunks):
    """A 16-bit PNG, assembled here: no library at hand writes grey with alpha or with a transparent value."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def again(source, file_format=None, ab=(0.0, 0.0), **metadata):
    """The file written again with the same ab in every pixel, by default grey."""
    photo = read_photo(source, LIMITS)
    file_format = file_format or photo.format
    everywhere = np.broadcast_to(np.array(ab, np.float32), (*photo.L.shape, 2))
    rgb = (join16 if photo.is_16_bit and file_format in FORMATS_16_BIT else join)(photo.L, everywhere)
    return encode(rgb, photo.alpha, replace(photo.metadata, **metadata), file_format, 95)


def opened(data):
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def read_16(data, file_format):
    """Pixels as stored, read by a library that Recolor does not use for this."""
    if file_format == "TIFF":
        return tifffile.imread(io.BytesIO(data))
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def lightness(rgb):
    return rgb2lab(rgb)[..., 0]


RGBA = np.dstack((RGB, ALPHA))
LA = np.dstack((GREY, ALPHA))
SOURCES_8 = {
    "JPEG L": saved(GREY, "JPEG", quality=95),
    "JPEG RGB": saved(RGB, "JPEG", quality=95),
    "JPEG CMYK": saved(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95),
    "PNG 1": saved(Image.fromarray(GREY).convert("1"), "PNG"),
    "PNG L": saved(GREY, "PNG"),
    "PNG LA": saved(LA, "PNG"),
    "PNG P": saved(Image.fromarray(RGB).convert("P"), "PNG"),
    "PNG RGB": saved(RGB, "PNG"),
    "PNG RGBA": saved(RGBA, "PNG"),
    "WEBP RGB": saved(RGB, "WEBP", lossless=True),
    "WEBP RGBA": saved(RGBA, "WEBP", lossless=True, exact=True),
    "TIFF 1": saved(Image.fromarray(GREY).convert("1"), "TIFF"),
    "TIFF L": saved(GREY, "TIFF", compression="tiff_lzw"),
    "TIFF LA": saved(LA, "TIFF"),
    "TIFF P": saved(Image.fromarray(RGB).convert("P"), "TIFF"),
    "TIFF RGB": saved(RGB, "TIFF"),
    "TIFF RGBA": saved(RGBA, "TIFF", compression="tiff_deflate"),
    "TIFF CMYK": saved(Image.fromarray(RGB).convert("CMYK"), "TIFF"),
    "BMP L": saved(GREY, "BMP"),
    "BMP RGB": saved(RGB, "BMP"),
}
SOURCES_16 = {
    "PNG L": saved(GREY_16, "PNG"),
    "PNG LA": png_16(np.dstack((GREY_16, ALPHA_16)), 4),
    "PNG RGB": with_cv2(".png", RGB_16),
    "PNG RGBA": with_cv2(".png", np.dstack((RGB_16, ALPHA_16))),
    "TIFF L": saved(GREY_16, "TIFF"),
    "TIFF RGB": with_tifffile(RGB_16, photometric="rgb"),
    "TIFF RGB big-endian": with_tifffile(RGB_16, photometric="rgb", byteorder=">"),
    "TIFF RGB LZW": with_cv2(".tif", RGB_16),
    "TIFF RGBA": with_tifffile(np.dstack((RGB_16, ALPHA_16)), photometric="rgb", extrasamples=["unassalpha"]),
}


@pytest.mark.parametrize("kind", SOURCES_8)
def test_eight_bits_keep_format_size_lightness_and_alpha(kind):
    file_format, mode = kind.split()
    written = opened(again(SOURCES_8[kind]))
    before = opened(SOURCES_8[kind])
    assert written.format == file_format
    assert written.mode == ("RGBA" if mode.endswith("A") else "RGB")
    difference = lightness(written.convert("RGB")) - lightness(before.convert("RGBA").convert("RGB"))
    lossy = file_format in ("JPEG", "WEBP")
    assert np.abs(difference).mean() < (1.0 if lossy else 0.2)
    assert np.abs(difference).max() < (30 if lossy else 0.6)
    if mode.endswith("A"):
        assert np.array_equal(written.getchannel("A"), ALPHA)


@pytest.mark.parametrize("kind", ["PNG L", "TIFF L", "PNG LA", "BMP L"])
def test_grey_values_come_back_to_the_bit(kind):
    written = np.asarray(opened(again(SOURCES_8[kind])).convert("RGB"))
    assert np.array_equal(written, np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("kind", SOURCES_16)
def test_sixteen_bits_are_kept(kind):
    """Against the exact formula in float64, in steps of 1/65535."""
    file_format, mode = kind.split()[:2]
    pixels = read_16(again(SOURCES_16[kind]), file_format)
    assert pixels.dtype == np.uint16
    assert pixels.shape[2] == (4 if mode.endswith("A") else 3)
    rgb = np.repeat(GREY_16[..., None], 3, axis=2) if mode.startswith("L") else RGB_16
    assert np.abs(lightness(pixels[..., :3] / 65535) - lightness(rgb / 65535)).max() < 0.01
    if mode.startswith("L"):
        assert np.abs(pixels[..., :3].astype(int) - rgb).max() <= 4
    if mode.endswith("A"):
        assert np.array_equal(pixels[..., 3], ALPHA_16)


def test_sixteen_bits_have_more_than_256_lightnesses():
    ramp = np.arange(60 * 90, dtype=np.uint16).reshape(60, 90) + 20_000
    assert len(np.unique(read_photo(saved(ramp, "PNG"), LIMITS).L)) > 4000
    assert len(np.unique(read_16(again(saved(ramp, "PNG")), "PNG"))) > 4000


def test_colour_is_added_in_every_format_and_depth():
    for kind, source in (SOURCES_8 | {f"{kind} 16": source for kind, source in SOURCES_16.items()}).items():
        photo = read_photo(source, LIMITS)
        middle = (photo.L > 40) & (photo.L < 80)
        if kind.split()[1] == "1":
            assert not middle.any()  # black and white cannot be coloured
            continue
        pixels = np.asarray(opened(again(source, ab=(5, -15))).convert("RGB"))
        assert np.median(rgb2lab(pixels)[middle], axis=0)[1:] == pytest.approx((5, -15), abs=2), kind


def test_a_format_without_alpha_gets_white_and_one_of_eight_bits_rounds():
    written = np.asarray(opened(again(SOURCES_16["PNG LA"], "JPEG")), float)
    share = (ALPHA_16 / 65535)[..., None]
    expected = GREY_16[..., None] / 257 * share + 255 * (1 - share)
    assert np.abs(written - expected).mean() < 5
    assert np.abs(np.asarray(opened(again(SOURCES_16["PNG LA"], "BMP"))) - expected).max() < 2
    webp = opened(again(SOURCES_16["PNG LA"], "WEBP"))
    assert np.abs(np.asarray(webp.getchannel("A")) - ALPHA_16 / 257).max() <= 0.5


@pytest.mark.parametrize(
    "source",
    [
        png_16(GREY_16, 0, (b"tRNS", struct.pack(">H", GREY_16[7, 5]))),
        png_16(RGB_16, 2, (b"tRNS", struct.pack(">3H", *RGB_16[7, 5]))),
        saved(GREY, "PNG", transparency=int(GREY[7, 5])),
        saved(Image.fromarray(GREY).convert("P"), "PNG", transparency=int(GREY[7, 5])),
    ],
)
def test_one_transparent_value_becomes_alpha(source):
    photo = read_photo(source, LIMITS)
    assert photo.alpha[7, 5] == 0
    assert 0 < (photo.alpha == 0).mean() < 0.1
    assert set(np.unique(photo.alpha)) == {0, np.iinfo(photo.alpha.dtype).max}
    assert opened(again(source)).getchannel("A").getpixel((5, 7)) == 0


def test_premultiplied_colours_of_a_tiff_are_divided_by_their_alpha():
    share = np.maximum(ALPHA_16, 20_000)
    stored = (RGB_16.astype(np.uint64) * share[..., None] // 65535).astype(np.uint16)
    source = with_tifffile(np.dstack((stored, share)), photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read_photo(source, LIMITS).L - lightness(RGB_16 / 65535)).max() < 0.02


def test_white_may_be_stored_as_zero():
    source = with_tifffile(65535 - GREY_16, photometric="miniswhite")
    assert np.abs(read_photo(source, LIMITS).L - lightness(np.repeat(GREY_16[..., None], 3, 2) / 65535)).max() < 0.01


def test_sixteen_bits_may_be_in_separate_planes():
    source = with_tifffile(np.ascontiguousarray(RGB_16.transpose(2, 0, 1)), photometric="rgb", planarconfig="separate")
    assert np.abs(read_photo(source, LIMITS).L - lightness(RGB_16 / 65535)).max() < 0.01


def exif_with(orientation, **options):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = ARTIST
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.25
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] = "Ektar 127 mm"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif


XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="Graflex"/></rdf:RDF></x:xmpmeta>'
    b'<?xpacket end="w"?>'
)


def check_exif(exif):
    # Pillow reads EXIF's ASCII as Latin-1 in a block, and as UTF-8 in a TIFF's own tags.
    assert exif[ExifTags.Base.Artist].encode("latin-1", "ignore").startswith(b"Ansel ")
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    assert inner[ExifTags.Base.ExposureTime] == 0.25
    assert inner[ExifTags.Base.LensModel] == "Ektar 127 mm"
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


@pytest.mark.parametrize("to", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("source_format", ["JPEG", "PNG", "WEBP", "TIFF", "PNG 16", "TIFF 16"])
def test_exif_xmp_and_resolution_survive_from_every_format_to_every_other(source_format, to):
    file_format, *deep = source_format.split()
    options = {"exif": exif_with(6), "dpi": (300, 240)}
    if file_format in ("JPEG", "WEBP"):
        options["xmp"] = XMP
    if file_format == "TIFF":
        options["exif"][700] = XMP
        options["exif"] = options["exif"].tobytes()  # saving an Exif object omits its directories
    source = saved(GREY_16 if deep else GREY, file_format, **options)
    written = again(source, to)
    picture = opened(written)
    assert picture.size == (60, 90)  # turned
    check_exif(picture.getexif())
    if "xmp" in options or file_format == "TIFF":
        assert picture.info["xmp"].rstrip(b"\0") == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    if to != "WEBP" and file_format != "WEBP":
        assert picture.info["dpi"] == pytest.approx((240, 300), abs=0.5)


def test_other_readers_agree_on_a_written_tiff():
    written = again(saved(GREY_16, "TIFF", exif=exif_with(1).tobytes(), dpi=(300, 240), icc_profile=b"no profile" * 20))
    with tifffile.TiffFile(io.BytesIO(written)) as file:
        (page,) = file.pages
        tags = page.tags
        assert tags["Artist"].value.startswith("Ansel")
        assert tags["ExifTag"].value["LensModel"] == "Ektar 127 mm"
        assert tags["XResolution"].value[0] / tags["XResolution"].value[1] == 300
        assert page.iccprofile[16:20] == b"RGB "
        assert page.asarray().shape == (60, 90, 3)
    by_cv2 = cv2.imdecode(np.frombuffer(written, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(by_cv2[..., ::-1], tifffile.imread(io.BytesIO(written)))


def test_many_strips_of_a_large_tiff_are_where_the_tags_say():
    large = RANDOM.integers(0, 65536, (700, 900), dtype=np.uint16)
    written = again(saved(large, "TIFF"))
    with tifffile.TiffFile(io.BytesIO(written)) as file:
        assert len(file.pages[0].dataoffsets) > 2
        assert np.abs(file.pages[0].asarray()[..., 0].astype(int) - large).max() <= 4
    assert np.array_equal(np.asarray(opened(written)) >> 0, tifffile.imread(io.BytesIO(written)) >> 8)


def test_iptc_and_comment_of_a_jpeg_and_texts_of_a_png_survive():
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x05\0\x07El Capi"
    plain = saved(GREY, "JPEG", comment=b"glass plate 17")
    source = plain[:20] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + plain[20:]
    written = opened(again(source))
    assert written.info["comment"] == b"glass plate 17"
    assert [body for name, body in written.applist if name == "APP13"] == [iptc]
    texts = png_16(
        GREY_16, 0, (b"tEXt", b"Title\0Half Dome"), (b"zTXt", b"Note\0\0" + zlib.compress(b"fog")), (b"pHYs", b"\0" * 9)
    )
    info = opened(again(texts)).info
    assert (info["Title"], info["Note"]) == ("Half Dome", "fog")


def test_an_orientation_in_a_text_of_a_png_is_applied_and_not_kept():
    """ImageMagick stores EXIF as hexadecimal text."""
    block = b"Exif\0\0" + exif_with(8).tobytes()[6:]
    text = b"\nexif\n%8d\n" % len(block) + block.hex().encode()
    written = opened(again(png_16(GREY_16, 0, (b"tEXt", b"Raw profile type exif\0" + text))))
    assert written.size == (60, 90)
    assert "Raw profile type exif" not in written.info
    check_exif(written.getexif())


def jpeg_with_thumbnail(note_after=False):
    """A JPEG whose EXIF has orientation 3, a maker note, and a second directory with a thumbnail."""
    thumbnail = saved(GREY[::4, ::4], "JPEG")
    note = b"NOTE" + bytes(range(40))
    first = 8 + 2 + 2 * 12 + 4
    second = first + len(note)
    at = second + 2 + 2 * 12 + 4
    block = b"".join(
        (
            b"II*\0" + struct.pack("<I", 8),
            struct.pack("<H", 2),
            struct.pack("<HHIHH", 0x0112, 3, 1, 3, 0),
            struct.pack("<HHII", 0x927C, 7, len(note), first),
            struct.pack("<I", second),
            note,
            struct.pack("<H", 2),
            struct.pack("<HHII", 0x0201, 4, 1, at),
            struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail)),
            struct.pack("<I", 0),
            thumbnail,
            b"more" if note_after else b"",
        )
    )
    return saved(GREY, "JPEG", exif=b"Exif\0\0" + block), block, thumbnail


@pytest.mark.parametrize("note_after", [False, True])
def test_the_thumbnail_goes_and_every_other_byte_of_exif_stays_in_its_place(note_after):
    source, block, thumbnail = jpeg_with_thumbnail(note_after)
    written = opened(again(source)).info["exif"][6:]
    assert thumbnail[:100] not in written
    assert thumbnail[100:300] not in written
    expected = bytearray(block)
    expected[18] = 1  # orientation
    expected[34:38] = bytes(4)  # no second directory
    before = len(block) - len(thumbnail) - (4 if note_after else 0)
    assert written[:before] == expected[:before]
    assert written[before:].strip(b"\0") == (b"more" if note_after else b"")


@pytest.mark.parametrize(
    "broken", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"no exif", b"MM\0*\0\0\0\x08\xff\xff" * 9]
)
def test_broken_exif_does_not_lose_the_picture(broken):
    source = saved(GREY, "JPEG", exif=b"Exif\0\0" + broken)
    for to in ("JPEG", "PNG", "TIFF", "WEBP"):
        assert opened(again(source, to)).size == (90, 60)


def test_more_exif_than_a_jpeg_holds_is_left_out():
    exif = exif_with(1)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = bytes(70_000)
    source = saved(GREY, "PNG", exif=exif)
    assert len(opened(again(source)).info["exif"]) > 70_000
    assert "exif" not in opened(again(source, "JPEG")).info


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF LZW", "PNG 16", "TIFF 16", "PNG A", "TIFF RGB16"]
)
def test_every_orientation_ends_upright(kind, orientation):
    """Compared with the definition (CIPA DC-008): the sides on which stored row 0 and column 0 are shown."""
    file_format = kind.split()[0]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = data.camera()[::8, ::6]
    if kind == "TIFF RGB16":
        tag = (274, "H", 1, orientation, True)
        source = with_tifffile(
            np.repeat(stored[..., None], 3, 2).astype(np.uint16) * 257, photometric="rgb", extratags=[tag]
        )
    else:
        pixels = {"16": stored.astype(np.uint16) * 257, "A": np.dstack((stored, stored))}.get(kind[-2:].strip(), stored)
        options = {"TIFF LZW": {"compression": "tiff_lzw"}, "JPEG": {"quality": 95}}.get(kind, {})
        source = saved(pixels, file_format, exif=exif, **options)
    rows_then_columns = {
        1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud,
        5: np.transpose, 6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p, 2).T, 8: np.rot90,
    }  # fmt: skip
    expected = rows_then_columns[orientation](stored)
    written = opened(again(source))
    assert written.size == expected.shape[::-1]
    assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert np.abs(np.asarray(written.convert("RGB"))[..., 1] - expected.astype(float)).mean() < 3
    if kind.endswith(" A"):
        assert np.array_equal(written.getchannel("A"), expected)


@pytest.mark.skipif(not (SHARED / "exif_orientation").is_dir(), reason="../shared/data/exif_orientation is not there")
@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
@pytest.mark.slow  # photographs of full size
def test_the_collected_photographs_of_every_orientation_look_alike(shape):
    """Files of one scene, stored in every orientation."""
    pictures = []
    for orientation in range(1, 9):
        source = (SHARED / "exif_orientation/files" / f"{shape}_{orientation}.jpg").read_bytes()
        photo = read_photo(source, LIMITS)
        small = cv2.resize(photo.L, (120, 80) if shape == "Landscape" else (80, 120), interpolation=cv2.INTER_AREA)
        assert (photo.L.shape[1] > photo.L.shape[0]) == (shape == "Landscape")
        assert opened(encode(join(photo.L, np.zeros((*photo.L.shape, 2), np.float32)), None, photo.metadata, "JPEG", 90)
                      ).getexif()[ExifTags.Base.Orientation] == 1  # fmt: skip
        pictures.append(small.ravel())
    assert np.corrcoef(pictures).min() > 0.9


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_grey_stored_as_colour_has_no_colour_for_all_its_noise(quality):
    grey = np.repeat(data.camera()[..., None], 3, axis=2)
    source = saved(grey, "JPEG", quality=quality)
    twice = saved(opened(source).convert("RGB").resize((500, 490)), "JPEG", quality=quality)
    assert not read_photo(twice, LIMITS).had_colour
    noise = RANDOM.integers(-2, 3, grey.shape)
    assert not has_colour(np.clip(grey + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("source", [RGB, np.uint8(GREY[..., None] * [1, 0.9, 0.75])])
def test_colour_and_sepia_are_colour(source):
    photo = read_photo(saved(source, "PNG"), LIMITS, keep_original=True)
    assert photo.had_colour
    assert np.array_equal(photo.original, source)
    assert read_photo(saved(source, "PNG"), LIMITS).original is None


def test_a_small_flower_in_a_grey_picture_is_colour():
    rgb = np.repeat(data.camera()[..., None], 3, axis=2)
    rgb[100:130, 200:230] = (200, 30, 40)
    assert has_colour(rgb)


@pytest.mark.slow  # many files
@pytest.mark.skipif(not (SHARED / "malformed").is_dir(), reason="../shared/data/malformed is not there")
def test_every_file_that_decodes_is_written_again():
    """Valid and slightly malformed files of every kind: metadata never prevents writing."""
    decoded, lost = 0, {}
    for path in sorted((SHARED / "malformed/files").iterdir()):
        try:
            source = read_bytes(path, LIMITS)
            found = decode(source, LIMITS)
        except ImageError:
            continue
        decoded += 1
        try:
            written = opened(again(source, found.format if found.format != "GIF" else "PNG"))
            assert written.size == (found.width_px, found.height_px)
        except ImageError as error:
            lost[path.name] = str(error)
    assert decoded > 200
    assert lost == {}
