"""One picture, described by primaries and transfer or by gamma and chromaticities, has the same sRGB pixels."""

import contextlib
import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images.encoding import encoded
from PIL import Image, ImageCms
from skimage import data as photographs

from recolor.cleaning.measure.rows import IndexedFile, measure_files
from recolor.colorize.encode import encode
from recolor.colorize.photo import read_photo
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode

LIMITS = MeasureConfig()
PICTURE = photographs.chelsea()[60:160, 100:250]  # 100 x 150
GREY = PICTURE[..., 1].copy()
D65 = (0.3127, 0.3290)
P3, BT2020, BT709 = 12, 9, 1
XY = {
    BT709: (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    BT2020: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    P3: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
ADOBE_RGB = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SRGB, LINEAR, GAMMA_22, PQ, HLG = 13, 8, 4, 16, 18


def to_linear(samples, exponent=None):
    if exponent is not None:
        return samples**exponent
    return np.where(samples > 0.04045, ((samples + 0.055) / 1.055) ** 2.4, samples / 12.92)


def from_linear(light, exponent=None):
    light = np.clip(light, 0, 1)
    if exponent is not None:
        return light ** (1 / exponent)
    return np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)


def matrix(xy):
    """RGB to XYZ, so that equal amounts give the white: Lindbloom, RGB/XYZ matrices."""
    white, *primaries = (np.array((x / y, 1, (1 - x - y) / y)) for x, y in np.reshape(xy, (4, 2)))
    unscaled = np.stack(primaries, axis=1)
    return unscaled * np.linalg.solve(unscaled, white)


def described(rgb, xy=XY[BT709], exponent=None):
    """sRGB 0..1 in another colour space, which holds all of its colours if it is wider."""
    mixed = to_linear(rgb) @ (np.linalg.inv(matrix(xy)) @ matrix(XY[BT709])).T
    return from_linear(mixed, exponent)


def expected(samples, xy=XY[BT709], exponent=None):
    """The sRGB 0..1 of samples 0..1, clipped; whites are the same in all of these, so nothing is adapted."""
    mixed = to_linear(samples, exponent) @ (np.linalg.inv(matrix(XY[BT709])) @ matrix(xy)).T
    return from_linear(mixed)


def png(samples, *chunks, colour=2):
    """A PNG of samples [H, W, C], of 8 or 16 bits, with chunks in front of the pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    bits = 8 * samples.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{samples.itemsize}").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def cicp(primaries, transfer, matrix=0, full_range=1):
    return b"cICP", bytes((primaries, transfer, matrix, full_range))


def gama(gamma):
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


def chrm(xy):
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in xy))


def iccp(profile):
    return b"iCCP", b"x\0\0" + zlib.compress(profile)


def stored(values, dtype):
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


WAYS = {
    "Display P3": ((cicp(P3, SRGB),), XY[P3], None),
    "BT.2020": ((cicp(BT2020, 14),), XY[BT2020], None),
    "linear": ((cicp(BT709, LINEAR),), XY[BT709], 1.0),
    "linear BT.2020": ((cicp(BT2020, LINEAR),), XY[BT2020], 1.0),
    "gamma 2.2 by a code": ((cicp(BT709, GAMMA_22),), XY[BT709], 2.2),
    "gAMA 1": ((gama(1),), XY[BT709], 1.0),
    "gAMA 1/1.8": ((gama(1 / 1.8),), XY[BT709], 100_000 / 55_556),
    "gAMA and cHRM of Adobe RGB": ((gama(1 / 2.2), chrm(ADOBE_RGB)), ADOBE_RGB, 100_000 / 45_455),
    "cHRM alone": ((chrm(XY[P3]),), XY[P3], None),
}


@pytest.mark.parametrize(("chunks", "xy", "exponent"), WAYS.values(), ids=WAYS)
def test_one_picture_reads_the_same_whatever_describes_it(chunks, xy, exponent):
    source = png(stored(described(PICTURE / 255, xy, exponent), np.uint16), *chunks)
    decoded = decode(source, LIMITS)
    assert decoded.pixels.dtype == np.uint16
    assert np.abs(decoded.pixels / 257 - PICTURE).max() < 0.5
    assert decoded.notes == ()
    assert not decoded.icc


@settings(max_examples=60)
@given(st.sampled_from(sorted(WAYS)), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 2**32 - 1), st.booleans())
def test_any_samples_are_converted_as_the_formulas_say(way, dtype, seed, alpha):
    chunks, xy, exponent = WAYS[way]
    highest = np.iinfo(dtype).max
    samples = np.random.default_rng(seed).integers(0, highest, (8, 9, 4 if alpha else 3), dtype, endpoint=True)
    decoded = decode(png(samples, *chunks, colour=6 if alpha else 2), LIMITS)
    exact = expected(samples[..., :3] / highest, xy, exponent) * highest
    assert np.abs(decoded.pixels - exact).max() < (1 if dtype == np.uint8 else 64)  # of 65,535: 0.25 of 255
    assert np.array_equal(decoded.alpha, samples[..., 3]) if alpha else decoded.alpha is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gamma", [0.35, 1.0, 1 / 1.8])
def test_greys_of_a_gamma_are_converted_and_stay_grey(gamma, dtype):
    highest = np.iinfo(dtype).max
    samples = np.linspace(0, highest, 256).astype(dtype).reshape(16, 16, 1)
    decoded = decode(png(samples, gama(gamma), colour=0), LIMITS)
    exact = from_linear(to_linear(samples / highest, 100_000 / round(gamma * 100_000))) * highest
    assert np.abs(decoded.pixels - exact).max() < (0.51 if dtype == np.uint8 else 2)
    assert np.ptp(decoded.pixels, axis=2).max() <= (0 if dtype == np.uint8 else 1)


def test_a_palette_is_converted():
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    source = png(
        np.arange(256, dtype=np.uint8).reshape(16, 16, 1), cicp(P3, SRGB), (b"PLTE", palette.tobytes()), colour=3
    )
    exact = expected(palette / 255, XY[P3]) * 255
    assert np.abs(decode(source, LIMITS).pixels.reshape(256, 3) - exact).max() < 1


@pytest.mark.parametrize(
    "chunks",
    [
        (gama(1 / 2.2),),
        (gama(0.45454),),
        (gama(0.455),),
        (gama(0.45),),
        (gama(1 / 2.2), chrm(XY[BT709])),
        (chrm((0.31269, 0.32899, 0.63999, 0.33001, 0.3, 0.6, 0.15, 0.05999)),),
        (cicp(BT709, SRGB),),
        (cicp(BT709, 1),),
        (cicp(2, 2),),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_descriptions_of_srgb_change_nothing(chunks, dtype):
    samples = PICTURE.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    decoded = decode(png(samples, *chunks), LIMITS)
    assert np.array_equal(decoded.pixels, samples)
    assert decoded.notes == ()


P3_CHUNKS = (cicp(P3, SRGB), iccp(SRGB_PROFILE), (b"sRGB", b"\0"), gama(1), chrm(XY[BT2020]))


@pytest.mark.parametrize(
    ("chunks", "as_if"),
    [
        (P3_CHUNKS, P3_CHUNKS[:1]),
        (P3_CHUNKS[1:], ()),
        (P3_CHUNKS[2:], ()),
        ((cicp(BT709, SRGB), iccp(imagecodecs.cms_profile("rgb", gamma=1.0))), ()),
        (
            (iccp(imagecodecs.cms_profile("rgb", gamma=1.0)), gama(0.45455)),
            (iccp(imagecodecs.cms_profile("rgb", gamma=1.0)),),
        ),
        ((gama(0.45455), (b"sRGB", b"\0"), chrm(XY[P3])), ()),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cicp_counts_before_iccp_before_srgb_before_gama(chunks, as_if, dtype):
    samples = PICTURE.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    decoded, reference = decode(png(samples, *chunks), LIMITS), decode(png(samples, *as_if), LIMITS)
    assert np.array_equal(decoded.pixels, reference.pixels)


def avif(pixels, primaries, transfer):
    return imagecodecs.avif_encode(
        pixels, level=100, pixelformat="444", primaries=primaries, transfer=transfer, matrix=6, speed=10
    )


def heic(pixels, primaries, transfer):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    buffer = io.BytesIO()
    codes = {"color_primaries": primaries, "transfer_characteristics": transfer}
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(buffer, quality=100, chroma=444, **codes)
    return buffer.getvalue()


def png_8(pixels, primaries, transfer):
    return png(pixels, cicp(primaries, transfer))


WRITERS = {"PNG": png_8, "AVIF": avif, "HEIC": heic}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(
    ("primaries", "transfer", "exponent"),
    [(P3, SRGB, None), (P3, 1, None), (BT2020, 14, None), (BT2020, 2, None), (BT709, LINEAR, 1.0), (BT709, 5, 2.8)],
)
def test_codes_mean_the_same_in_every_container(write, primaries, transfer, exponent):
    samples = stored(described(PICTURE / 255, XY[primaries], exponent), np.uint8)
    plain = decode(write(samples, BT709, SRGB), LIMITS).pixels / 255  # what the codec makes of the samples
    decoded = decode(write(samples, primaries, transfer), LIMITS)
    assert np.abs(decoded.pixels / 255 - expected(plain, XY[primaries], exponent)).max() < 1.01 / 255
    assert np.abs(decoded.pixels.astype(int) - PICTURE).mean() < 2
    assert np.abs(plain * 255 - PICTURE).mean() > 2  # the description matters


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(
    ("primaries", "transfer", "said"),
    [(BT2020, PQ, "PQ"), (BT2020, HLG, "HLG"), (BT709, 10, "transfer 10"), (10, SRGB, "primaries 10"), (2, PQ, "PQ")],
)
def test_what_is_no_picture_for_screens_is_refused_by_name(write, primaries, transfer, said):
    with pytest.raises(ImageError, match=f"unsupported: .*{said}.*convert it") as error:
        decode(write(PICTURE, primaries, transfer), LIMITS)
    assert error.value.reason == "unsupported"


def test_a_png_of_narrow_range_is_refused_by_name():
    with pytest.raises(ImageError, match="unsupported: PNG of narrow range"):
        decode(png(PICTURE, cicp(BT709, SRGB, full_range=0)), LIMITS)


@pytest.mark.parametrize(
    "chunk", [gama(0), gama(1e-5), gama(42949), chrm([0] * 8), chrm(D65 * 4), cicp(1, 13, matrix=1)]
)
def test_a_description_that_there_cannot_be_is_noted_and_passed_over(chunk):
    decoded = decode(png(PICTURE, chunk), LIMITS)
    assert [chunk[0].decode() in note for note in decoded.notes] == [True]
    assert np.array_equal(decoded.pixels, PICTURE)
    assert chunk[0] not in decoded.tidy


def test_what_is_left_of_a_description_counts():
    both = decode(png(PICTURE, gama(0), chrm(XY[P3])), LIMITS)
    assert np.array_equal(both.pixels, decode(png(PICTURE, chrm(XY[P3])), LIMITS).pixels)
    both = decode(png(PICTURE, cicp(P3, SRGB, matrix=9), gama(1)), LIMITS)
    assert np.array_equal(both.pixels, decode(png(PICTURE, gama(1)), LIMITS).pixels)


@pytest.mark.parametrize("chunk", [(b"gAMA", b"\0"), (b"cHRM", bytes(31)), (b"cICP", b"\1\r\0")])
def test_a_description_of_another_length_is_refused(chunk):
    with pytest.raises(ImageError, match=r"bad_entropy_data: .* does not fit"):
        decode(png(PICTURE, chunk), LIMITS)


def test_a_late_description_is_refused():
    source = png(PICTURE)
    end = source.index(b"IEND") - 4
    kind, body = cicp(P3, SRGB)
    late = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    with pytest.raises(ImageError, match="comes behind the pixels"):
        decode(source[:end] + late + source[end:], LIMITS)


@pytest.mark.parametrize("make", [avif, heic])
def test_any_byte_of_the_boxes_may_be_another(make):
    whole = make(PICTURE[:32, :32], P3, SRGB)
    names = [whole.index(name) for name in (b"ftyp", b"pitm", b"iprp", b"ipco", b"colr", b"ipma") if name in whole]
    for start in names:
        for position in range(start - 4, start + 24):
            for value in (0, 255):
                mutated = whole[:position] + bytes([value]) + whole[position + 1 :]
                with contextlib.suppress(ImageError):
                    decode(mutated, LIMITS)


@pytest.mark.parametrize("file_format", ["AVIF", "HEIF"])
def test_an_icc_profile_counts_before_codes(file_format):
    if file_format == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif")
        buffer = io.BytesIO()
        picture = Image.fromarray(PICTURE)
        picture.info["icc_profile"] = SRGB_PROFILE
        codes = {"color_primaries": P3, "transfer_characteristics": SRGB}
        pillow_heif.from_pillow(picture).save(buffer, quality=100, chroma=444, **codes)
        source, plain = buffer.getvalue(), heic(PICTURE, BT709, SRGB)
    else:
        source = encoded(PICTURE, "AVIF", quality=100, subsampling="4:4:4", icc_profile=SRGB_PROFILE)
        plain = encoded(PICTURE, "AVIF", quality=100, subsampling="4:4:4")
    decoded = decode(source, LIMITS)
    assert decoded.icc
    assert np.array_equal(decoded.pixels, decode(plain, LIMITS).pixels)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_measuring_and_colouring_see_the_same_colours(write, tmp_path):
    samples = stored(described(PICTURE / 255, XY[BT709], 1.0), np.uint8)
    sources = {"linear": write(samples, BT709, LINEAR), "plain": png(PICTURE)}
    rows, lightness = {}, {}
    for name, source in sources.items():
        file = tmp_path / name
        file.write_bytes(source)
        (rows[name],) = measure_files([IndexedFile(file, len(source))], LIMITS)
        lightness[name] = read_photo(source, LIMITS).L.mean()
    assert rows["linear"]["L_mean"] == pytest.approx(rows["plain"]["L_mean"], abs=0.5)
    assert lightness["linear"] == pytest.approx(lightness["plain"], abs=0.5)


@pytest.mark.parametrize("chunks", [(cicp(P3, SRGB),), (gama(1), chrm(XY[BT2020]))])
def test_what_is_written_of_a_photograph_is_described_as_srgb(chunks):
    photo = read_photo(png(PICTURE, *chunks), LIMITS, keep_original=True)
    written = encode(photo.original, None, photo.metadata, "PNG", 95)
    assert not [kind for kind in (b"cICP", b"gAMA", b"cHRM", b"iCCP") if kind in written[: written.index(b"IDAT")]]
    assert np.array_equal(decode(written, LIMITS).pixels, decode(png(PICTURE, *chunks), LIMITS).pixels)


def test_a_profile_beside_codes_is_not_written_if_it_is_not_true_of_the_pixels():
    wide = imagecodecs.cms_profile("rgb", gamma=1.0)
    photo = read_photo(png(PICTURE, cicp(P3, SRGB), iccp(wide)), LIMITS)
    assert photo.metadata.profile != wide
    assert ImageCms.ImageCmsProfile(io.BytesIO(photo.metadata.profile)).profile.profile_description.startswith("sRGB")


def test_what_is_left_of_a_damaged_png_has_its_colours():
    samples = stored(described(PICTURE / 255, XY[BT2020], 1.0), np.uint16)
    whole = png(samples, gama(1), chrm(XY[BT2020]))
    pixels = whole.index(b"IDAT")
    with pytest.raises(ImageError, match="truncated"):
        decode(whole[: (pixels + len(whole)) // 2], LIMITS)
    decoded = decode(whole[: (pixels + len(whole)) // 2], LIMITS, lenient=True)
    assert np.abs(decoded.pixels[:30] / 257 - PICTURE[:30]).max() < 0.5
    gamma = whole.index(b"gAMA") + 4
    hurt = whole[:gamma] + b"\xff" + whole[gamma + 1 :]  # its checksum is wrong: no picture of that gamma is shown
    assert decode(hurt, LIMITS, lenient=True).pixels.mean() > 1000
