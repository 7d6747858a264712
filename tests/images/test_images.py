import io
import os
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import GifImagePlugin, Image, ImageCms, ImageOps, PngImagePlugin, TiffImagePlugin
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import DECODE_REASONS, ImageError
from recolor.images import decode, png_pixels, read_bytes
from recolor.images import jpeg as jpeg_files
from recolor.images import pillow as pillow_files
from recolor.images.orientation import read_orientation, upright

LIMITS = MeasureConfig()
ORIENTATIONS = Path(__file__).parents[2] / "../shared/data/exif_orientation/files"


def encoded(picture, kind="JPEG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def photograph():
    return Image.fromarray(photographs.chelsea())  # 451 x 300


def jpeg(**options):
    return encoded(photograph(), quality=90, **options)


def reason_of(data, limits=LIMITS):
    with pytest.raises(ImageError) as error:
        decode(data, limits, 64)
    return error.value.reason


def test_a_jpeg_is_decoded_to_the_pixels_that_pillow_sees():
    data = jpeg()
    decoded = decode(data, LIMITS)
    assert (decoded.width_px, decoded.height_px, decoded.format, decoded.mode) == (451, 300, "JPEG", "RGB")
    reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decoded.rgb.astype(int) - reference).max() <= 2


@pytest.mark.parametrize(
    ("least", "height"), [(None, 300), (151, 300), (150, 150), (75, 75), (38, 75), (37, 38), (1, 38)]
)
def test_scaling_keeps_the_short_side(least, height):
    assert decode(jpeg(), LIMITS, least).rgb.shape[0] == height


def test_scaling_leaves_the_full_size_in_the_facts():
    decoded = decode(jpeg(), LIMITS, 64)
    assert (decoded.width_px, decoded.height_px) == (451, 300)


@pytest.mark.parametrize("scale", [None, 64])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "empty"),
        (lambda data: b"<!doctype html><title>404</title>", "not_an_image"),
        (lambda data: bytes(range(1, 200)) * 9, "not_an_image"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: data[: len(data) * 98 // 100], "truncated"),
        (lambda data: data[:100], "truncated"),
        (lambda data: data[: len(data) // 2] + bytes(len(data) // 2), "truncated"),
        (lambda data: data[: len(data) // 2] + b"\xff\xc4" + data[len(data) // 2 :], "bad_entropy_data"),
    ],
)
def test_a_damaged_jpeg_gets_its_reason(damage, reason, scale):
    with pytest.raises(ImageError) as error:
        decode(damage(jpeg()), LIMITS, scale)
    assert error.value.reason == reason
    assert "\n" not in error.value.detail


def test_the_detail_is_the_same_each_time():
    details = set()
    for _ in range(3):
        with pytest.raises(ImageError) as error:
            decode(bytes(range(1, 200)), LIMITS)
        details.add(error.value.detail)
    assert len(details) == 1


def test_bytes_after_the_end_marker_are_no_damage():
    assert decode(jpeg() + b"appended by a camera", LIMITS).width_px == 451


def test_a_jpeg_of_too_many_pixels_is_refused_by_its_header():
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    with pytest.raises(ImageError, match=r"too_many_pixels.*measure\.max_pixels"):
        decode(bytes(data), LIMITS)


def test_a_sequential_jpeg_of_too_many_pixels_is_decoded_at_a_scale_that_the_limit_allows():
    limits = MeasureConfig(max_pixels=150 * 226)
    decoded = decode(jpeg(), limits, 150)
    assert (decoded.rgb.shape, decoded.width_px, decoded.height_px) == ((150, 226, 3), 451, 300)
    assert reason_of(jpeg(progressive=True), limits) == "too_many_pixels"  # it holds all coefficients in memory
    for least in (151, None):
        with pytest.raises(ImageError, match="too_many_pixels"):
            decode(jpeg(), limits, least)


def test_a_png_of_too_many_pixels_is_refused_by_its_header():
    data = encoded(Image.new("L", (300, 300)), "PNG")
    assert reason_of(data, MeasureConfig(max_pixels=89_999)) == "too_many_pixels"
    assert decode(data, MeasureConfig(max_pixels=90_000)).width_px == 300


def test_thousands_of_scans_are_refused():
    data = jpeg(progressive=True)
    at = data.rindex(b"\xff\xda")
    assert reason_of(data[:at] + data[at:-2] * 300 + data[-2:]) == "unsupported"


def test_scans_are_counted_whatever_the_frame_is_called():
    data = jpeg()
    at = data.rindex(b"\xff\xda")
    assert reason_of(data[:at] + data[at:-2] * 300 + data[-2:]) == "unsupported"


def test_what_a_camera_appends_has_no_scans():
    assert decode(jpeg(progressive=True) + b"\xff\xda film " * 300, LIMITS).width_px == 451


@pytest.mark.parametrize("before", [b"", b"\xff\x01"])
def test_fill_bytes_may_stand_before_any_marker(before):
    data = jpeg()
    filled = data[:2] + before + b"\xff\xff\xff" + data[2:]
    assert (decode(filled, LIMITS).rgb == decode(data, LIMITS).rgb).all()
    assert reason_of(data[:2] + b"\xff" * 9) == "truncated"


def test_a_zero_byte_is_no_marker():
    data = jpeg()
    at = data.index(b"\xff\xdb")
    decoded = decode(data[:at] + b"\xff\0\0\4ab" + data[at:], LIMITS)
    assert (decoded.rgb == decode(data, LIMITS).rgb).all()
    assert decoded.notes == ("6 stray bytes between segments",)


def test_a_small_frame_in_a_place_that_libjpeg_skips_hides_no_large_one():
    small = encoded(Image.new("RGB", (8, 8)))
    decoy = small[small.index(b"\xff\xc0") :]
    first = b"\xff\xff\xfe\xfe\x10" + bytes(0xFE0E)  # a comment after a fill byte; taken for a longer segment without
    second = bytes(0xFF02 - 2 - len(first) - 4) + decoy
    data = jpeg()
    data = data[:2] + first + b"\xff\xfe" + struct.pack(">H", 2 + len(second)) + second + data[2:]
    assert decode(data, LIMITS).width_px == 451
    with pytest.raises(ImageError, match="too_many_pixels"):
        decode(data, MeasureConfig(max_pixels=100_000))


def test_a_subsampling_that_simplejpeg_has_no_name_for_is_decoded():
    def segment(marker, body):
        return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body

    one_code = bytes([1, *[0] * 15, 0])  # the bit 0 is "no difference" and "end of block": two bits make a grey block
    data = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([1] * 64))
    data += segment(0xC0, struct.pack(">BHHB", 8, 32, 8, 3) + b"\1\x14\0\2\x11\0\3\x11\0")  # 4:4:1
    data += segment(0xC4, b"\0" + one_code) + segment(0xC4, b"\x10" + one_code)
    data += segment(0xDA, b"\3\1\0\2\0\3\0\0\x3f\0") + b"\x00\x0f\xff\xd9"  # six blocks
    assert (decode(data, LIMITS).rgb == np.full((32, 8, 3), 128)).all()


def test_a_header_that_libjpeg_reads_otherwise_is_refused(monkeypatch):
    small = jpeg_files.read_header(encoded(Image.new("RGB", (8, 8))))
    monkeypatch.setattr(jpeg_files, "read_header", lambda data: small)
    assert reason_of(jpeg()) == "bad_entropy_data"


def test_a_cmyk_jpeg_with_broken_multi_picture_data_gets_one_verdict_whatever_came_before():
    data = encoded(photograph().convert("CMYK"))
    block = b"MPF\0not an index"
    data = data[:2] + b"\xff\xe2" + struct.pack(">H", 2 + len(block)) + block + data[2:]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert reason_of(data) == "unsupported"
        decode(encoded(photograph(), "PNG"), LIMITS)
        assert reason_of(data) == "unsupported"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_that_memory_does_not_hold_is_unreadable_for_now(kind, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(jpeg_files.simplejpeg, "decode_jpeg", fail)
    monkeypatch.setattr(pillow_files, "to_srgb", fail)
    assert reason_of(encoded(photograph(), kind)) == "unreadable"


def test_an_assertion_of_pillow_is_a_verdict(monkeypatch):
    def fail(*_, **__):
        raise AssertionError

    data = encoded(photograph(), "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    assert reason_of(data) == "bad_entropy_data"


def test_a_cmyk_jpeg_is_decoded_strictly_and_looks_the_same():
    data = encoded(photograph().convert("CMYK"), quality=95)
    decoded = decode(data, LIMITS)
    assert decoded.mode == "CMYK"
    assert np.abs(decoded.rgb.astype(int) - photographs.chelsea()).mean() < 3
    assert reason_of(data[: len(data) // 2]) == "truncated"


def test_a_grey_jpeg_has_three_equal_channels():
    decoded = decode(encoded(photograph().convert("L")), LIMITS)
    assert decoded.mode == "L"
    assert (np.ptp(decoded.rgb, axis=2) == 0).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_other_formats_are_decoded(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode(encoded(photograph(), kind, **options), LIMITS)
    assert (decoded.format, decoded.width_px, decoded.height_px) == (kind, 451, 300)
    assert np.abs(decoded.rgb.astype(int) - photographs.chelsea()).mean() < (20 if kind == "GIF" else 0.01)


def test_a_bmp_with_masks_of_any_place_is_decoded():
    pixels = photographs.chelsea()[:10, :7].astype(np.uint32)
    packed = pixels[..., 0] << 20 | pixels[..., 1] << 10 | pixels[..., 2]
    masks = struct.pack("<III", 255 << 20, 255 << 10, 255)
    header = struct.pack("<2sI4xI", b"BM", 66 + packed.nbytes, 66) + struct.pack(
        "<IiiHHIIiiII", 40, 7, -10, 1, 32, 3, *[0] * 5
    )
    data = header + masks + packed.astype("<u4").tobytes()
    assert (decode(data, LIMITS).rgb == pixels).all()
    assert reason_of(data[:-1]) == "truncated"
    assert reason_of(data[:26] + b"\2" + data[27:]) == "bad_entropy_data"  # two planes


def test_sixteen_bits_are_rounded_to_eight():
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    decoded = decode(encoded(Image.fromarray(deep), "PNG"), LIMITS)
    assert (decoded.rgb[..., 0] == np.arange(256).reshape(16, 16)).all()


def test_transparency_is_laid_on_white():
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert (decode(encoded(picture, "PNG"), LIMITS).rgb == 255).all()
    palette = Image.new("P", (8, 8), 3)
    palette.putpalette([7] * 768)
    assert (decode(encoded(palette, "PNG", transparency=3), LIMITS).rgb == 255).all()
    assert (decode(encoded(palette, "PNG"), LIMITS).rgb == 7).all()


@pytest.mark.parametrize(("kind", "count"), [("PNG", 3), ("WEBP", 3), ("GIF", 2), ("TIFF", 2)])
def test_an_animation_gives_its_first_frame_and_says_so(kind, count):
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    decoded = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options), LIMITS)
    assert decoded.frames == count  # two or more in GIF and TIFF
    assert decoded.rgb[5, 5].tolist() == [255, 0, 0]
    assert decode(encoded(frames[0], kind, **options), LIMITS).frames == 1


@pytest.mark.parametrize(("kind", "module"), [("GIF", GifImagePlugin), ("TIFF", TiffImagePlugin)])
def test_the_frames_of_a_long_animation_are_not_walked(kind, module, monkeypatch):
    plugin = getattr(module, f"{kind.title() if kind == 'GIF' else 'Tiff'}ImageFile")
    seek, sought = plugin._seek, []
    monkeypatch.setattr(plugin, "_seek", lambda self, *where: (sought.append(where), seek(self, *where))[1])
    frames = [Image.new("L", (4, 4), grey) for grey in range(200)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    sought.clear()
    assert decode(data, LIMITS).frames == 2
    assert 0 < len(sought) < 5


def test_the_frames_that_a_png_claims_fit_the_manifest():
    data = encoded(photograph(), "PNG")
    claim = png_chunk(b"acTL", struct.pack(">II", 2**31, 0))
    assert decode(data[:33] + claim + data[33:], LIMITS).frames == 2**31 - 1


def test_a_profile_is_converted_to_srgb():
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert decode(encoded(photograph(), "PNG", icc_profile=swapped), LIMITS).icc  # of another mode: pixels as they are
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("PNG", "JPEG"):
        decoded = decode(encoded(photograph(), kind, icc_profile=plain), LIMITS)
        assert decoded.icc
        assert np.abs(decoded.rgb.astype(int) - photographs.chelsea()).mean() < 6


def test_a_linear_profile_brightens_the_pixels():
    profile = _with_gamma_one(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 95})):
        decoded = decode(
            encoded(Image.new("RGB", (64, 64), (55, 55, 55)), kind, icc_profile=profile, **options), LIMITS
        )
        assert abs(int(decoded.rgb[32, 32, 1]) - 128) <= 2  # 55/255 linear is 128/255 in sRGB


def _with_gamma_one(profile):
    """Makes each tone curve of an sRGB profile the straight line, and renames the profile."""
    data = bytearray(
        profile.replace("sRGB".encode("utf-16-be"), "line".encode("utf-16-be")).replace(b"sRGB built", b"line built")
    )
    for entry in range(struct.unpack_from(">I", data, 128)[0]):
        tag, start, _ = struct.unpack_from(">4sII", data, 132 + 12 * entry)
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            data[start : start + 16] = struct.pack(">4sIHHi", b"para", 0, 0, 0, 65536)
    return bytes(data)


def test_a_broken_profile_leaves_the_pixels():
    for kind in ("PNG", "JPEG"):
        decoded = decode(encoded(photograph(), kind, icc_profile=b"not a profile" * 20), LIMITS)
        assert np.abs(decoded.rgb.astype(int) - photographs.chelsea()).mean() < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_as_pillow_does(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photograph(), kind, exif=exif)
    decoded = decode(data, LIMITS)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert decoded.orientation == orientation
    assert (decoded.width_px, decoded.height_px) == expected.size
    assert np.abs(decoded.rgb.astype(int) - np.asarray(expected.convert("RGB"))).max() <= 2


@pytest.mark.skipif(not ORIENTATIONS.is_dir(), reason="../shared/data/exif_orientation is not there")
@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_the_orientation_pictures_all_come_out_upright(name):
    pictures = [decode((ORIENTATIONS / f"{name}_{number}.jpg").read_bytes(), LIMITS, 256) for number in range(9)]
    for number, picture in enumerate(pictures):
        assert picture.orientation == max(1, number)
        assert (picture.width_px, picture.height_px) == (pictures[0].width_px, pictures[0].height_px)
        assert np.abs(picture.rgb.astype(int) - pictures[0].rgb).mean() < 6


@given(st.binary(max_size=300))
def test_any_exif_block_gives_an_orientation(block):
    for order in (b"II*\x00", b"MM\x00*"):
        assert 1 <= read_orientation(order + block) <= 8


def test_upright_makes_contiguous_pictures():
    assert all(upright(photographs.chelsea(), orientation).flags.c_contiguous for orientation in range(1, 9))


@pytest.mark.slow  # many files
@settings(max_examples=150)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"]), st.randoms(use_true_random=False))
def test_hostile_bytes_give_a_picture_or_a_reason(kind, random):
    data = bytearray(encoded(Image.fromarray(photographs.chelsea()[:40, :60]), kind))
    for _ in range(random.randint(1, 8)):
        data[random.randrange(len(data))] = random.randrange(256)
    cut = bytes(data[: random.randint(0, len(data))] if random.random() < 0.3 else data)
    try:
        decoded = decode(cut, MeasureConfig(max_pixels=1_000_000), 16)
    except ImageError as error:
        assert error.reason in DECODE_REASONS  # noqa: PT017 - either outcome is right
    else:
        assert decoded.rgb.dtype == np.uint8
        assert decoded.rgb.ndim == 3


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_png_damage_that_pillow_passes_over_is_found():
    data = encoded(photograph(), "PNG")
    end = data.index(b"IEND") - 4
    flipped = bytearray(data)
    flipped[end - 6] ^= 1  # in the last IDAT: its CRC is wrong
    assert reason_of(bytes(flipped)) == "bad_entropy_data"
    assert reason_of(data[: end - 20]) == "truncated"
    assert reason_of(data[:end] + png_chunk(b"gAMA", b"\0\0\1\0") + data[end:]) == "bad_entropy_data"  # after IDAT
    assert decode(data[:end] + png_chunk(b"tEXt", b"a\0b") + data[end:], LIMITS).format == "PNG"


@pytest.mark.parametrize(
    ("rows", "reason"), [(b"\0\1\2" * 2, "truncated"), (b"\0\1\2\7\1\2\0\1\2", "bad_entropy_data")]
)
def test_png_rows_must_be_all_there_with_known_filters(rows, reason):
    header = struct.pack(">IIBBBBB", 2, 3, 8, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    assert reason_of(b"\x89PNG\r\n\x1a\n" + chunks) == reason


@pytest.mark.timeout(60)  # minutes, if each chunk were compared with all before it
@pytest.mark.slow  # files of many megabytes
def test_very_many_png_chunks_are_read_in_linear_time():
    data = encoded(photograph(), "PNG")
    assert decode(data[:33] + png_chunk(b"sPLT", b"a\0\x08") * 200_000 + data[33:], LIMITS).width_px == 451


def test_a_png_is_not_inflated_beyond_its_rows(monkeypatch):
    inflated, inflate = [], png_pixels._inflate
    monkeypatch.setattr(png_pixels, "_inflate", lambda packed: (inflated.append(b) or b for b in inflate(packed)))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1 << 26))) + png_chunk(b"IEND", b"")
    assert decode(b"\x89PNG\r\n\x1a\n" + chunks, LIMITS).width_px == 1
    assert sum(len(block) for block in inflated) <= 1 << 20


def test_the_checksum_of_png_rows_that_end_with_a_block_is_looked_at():
    header = struct.pack(">IIBBBBB", 1023, 1024, 8, 0, 0, 0, 0)  # rows of 1024 bytes: exactly one block of 1 MiB
    packed = zlib.compress(bytes(1 << 20))
    for rows in (packed, packed[:-1] + bytes([packed[-1] ^ 1])):
        chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
        assert _outcome(b"\x89PNG\r\n\x1a\n" + chunks) == ("picture" if rows == packed else "bad_entropy_data")


def test_a_png_that_unpacks_to_gigabytes_takes_little_memory():
    bomb = zlib.compress(bytes(100_000_000), 9)
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", bomb) + png_chunk(b"IEND", b"")
    tracemalloc.start()
    assert reason_of(data) == "too_many_pixels"
    small = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", small) + png_chunk(b"IDAT", bomb) + png_chunk(b"IEND", b"")
    assert decode(data, LIMITS).width_px == 8
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_warnings_of_pillow_are_verdicts_in_every_thread_and_filters_stay_put():
    whole = encoded(photograph(), "TIFF")
    hurt = bytearray(whole)
    hurt[51] = 255  # the length of a tag: larger than the file, which Pillow only warns about
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        _outcome(bytes(hurt))
        before = list(warnings.filters)
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(_outcome, [bytes(hurt), whole] * 40))
        assert warnings.filters == before
    assert outcomes == ["unsupported", "picture"] * 40


def test_other_threads_have_pillows_warnings_as_warnings_while_a_file_is_read():
    def warn(category=UserWarning):
        warnings.warn_explicit("hurt", category, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pillow_files.pillow_warnings_as_errors(), ThreadPoolExecutor(1) as pool:
            with pytest.raises(UserWarning, match="hurt"):
                warn()
            warn(Image.DecompressionBombWarning)
            assert caught == []
            pool.submit(warn).result()
            pool.submit(warn, Image.DecompressionBombWarning).result()
            with pillow_files.pillow_warnings_as_errors():
                pass
            with pytest.raises(UserWarning, match="hurt"):
                warn()
        warn()
    kinds = [UserWarning, Image.DecompressionBombWarning, UserWarning]
    assert [warning.category for warning in caught] == kinds


def _outcome(data):
    try:
        decode(data, LIMITS)
    except ImageError as error:
        return error.reason
    return "picture"


def test_a_file_that_cannot_be_read_is_unreadable(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "gone.jpg", tmp_path, tmp_path / "pipe.jpg", tmp_path / "nul\0.jpg"):
        with pytest.raises(ImageError) as error:
            read_bytes(path, LIMITS)
        assert error.value.reason == "unreadable"


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    file = tmp_path / "large.jpg"
    file.write_bytes(b"x" * 1001)
    with pytest.raises(ImageError) as error:
        read_bytes(file, MeasureConfig(max_file_bytes=1000))
    assert error.value.reason == "too_many_bytes"
    assert read_bytes(file, MeasureConfig(max_file_bytes=1001)) == b"x" * 1001
