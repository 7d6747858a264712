import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.color import lab2xyz, rgb2lab

from recolor.color.gamut import grey_of, join, join16, lightness_of, lightness_of_grey
from recolor.color.lab import RGB_FROM_RELATIVE_XYZ, WHITE_XYZ, rgb_to_lab

BORDER = 1e-3  # of a code: so near to the border between two greys, the last bit of a float decides


def grey_code(L):
    """The 8-bit code, not rounded, of the sRGB grey of a lightness, in float64."""
    f = (np.asarray(L, np.float64) + 16) / 116
    luminance = np.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    gamma = 1.055 * np.maximum(luminance, 0) ** (1 / 2.4) - 0.055
    return 255 * np.where(luminance > 0.0031308, gamma, 12.92 * luminance)


def clear_of_borders(code):
    return np.abs(code % 1 - 0.5) > BORDER


def lab_of(rgb):
    """Exact Lab of integer sRGB."""
    return rgb2lab(rgb / np.float64(np.iinfo(rgb.dtype).max))


def linear_of(L, ab):
    """Unclipped linear sRGB light of Lab, in float64; the reference's conversion clips Z, so none is below 0 here."""
    xyz = lab2xyz(np.dstack((L, ab)).astype(np.float64))
    return xyz / WHITE_XYZ @ RGB_FROM_RELATIVE_XYZ.T


def random_lab(count, seed, spread):
    random = np.random.default_rng(seed)
    L = random.uniform(0, 100, (count, 64))
    L[: count // 4] = 100 * random.uniform(0, 1, (count // 4, 64)) ** 4  # more of the dark and of the bright
    L[count // 4 : count // 2] = 100 - L[: count // 4]
    return L.astype(np.float32), random.uniform(-spread, spread, (count, 64, 2)).astype(np.float32)


@pytest.mark.parametrize("spread", [0, 5, 40, 110, 1000])
def test_the_grey_of_every_pixel_is_kept_in_8_bits(spread):
    L, ab = random_lab(600, spread, spread)
    before, after = grey_code(L), grey_code(lab_of(join(L, ab))[..., 0])
    clear = clear_of_borders(before)
    assert clear.mean() > 0.99
    assert np.array_equal(np.rint(after)[clear], np.rint(before)[clear])


@pytest.mark.parametrize("spread", [0, 5, 40, 110, 1000])
def test_lightness_is_kept_within_two_thousandths_in_16_bits(spread):
    L, ab = random_lab(600, spread, spread)
    assert np.abs(lab_of(join16(L, ab))[..., 0] - L).max() < 0.002


@pytest.mark.slow  # many examples
@given(
    L=st.floats(0, 100, width=32),
    a=st.floats(-300, 300, width=32),
    b=st.floats(-300, 300, width=32),
)
@settings(max_examples=300)
def test_any_colour_keeps_its_lightness(L, a, b):
    L_image, ab = np.full((1, 1), L, np.float32), np.full((1, 1, 2), (a, b), np.float32)
    assert abs(float(lab_of(join16(L_image, ab))[0, 0, 0]) - L) < 0.002
    code = grey_code(L)
    if clear_of_borders(code):
        assert np.rint(grey_code(lab_of(join(L_image, ab))[0, 0, 0])) == np.rint(code)


@pytest.mark.parametrize(("joined", "white"), [(join, 255), (join16, 65535)])
@pytest.mark.parametrize(("a", "b"), [(0, 0), (80, 60), (-500, 3), (2, -1e4)])
def test_black_stays_black_and_white_white(joined, white, a, b):
    L = np.array([[0, 100]], np.float32)
    rgb = joined(L, np.full((1, 2, 2), (a, b), np.float32))
    assert rgb.tolist() == [[[0, 0, 0], [white, white, white]]]


def test_without_colour_greys_come_back_as_they_were():
    for dtype, joined in ((np.uint8, join), (np.uint16, join16)):
        codes = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1)
        rgb = np.repeat(codes[..., None], 3, axis=2)
        joined_again = joined(lightness_of(rgb), np.zeros((*codes.shape, 2), np.float32))
        off = np.abs(joined_again.astype(int) - rgb).max()
        assert off == 0 if dtype is np.uint8 else off <= 4  # the greys of the Lab formulas are off by as much


@pytest.mark.parametrize("joined", [join, join16])
def test_colours_of_a_photograph_come_back(joined):
    rgb = data.coffee()[::3, ::3]
    lab = np.ascontiguousarray(rgb_to_lab(rgb))
    again = joined(lab[..., 0], lab[..., 1:])
    if joined is join:
        assert (again != rgb).mean() < 1e-4  # those whose grey is between two codes, to the last bit
        assert np.abs(again.astype(int) - rgb).max() <= 1
    else:
        assert np.abs(again.astype(int) - 257 * rgb.astype(int)).max() <= 30


def test_a_colour_inside_of_the_gamut_is_at_most_one_code_from_the_nearest():
    random = np.random.default_rng(3)
    lab = np.ascontiguousarray(rgb_to_lab(random.integers(0, 256, (200, 200, 3), dtype=np.uint8)))
    L, ab = lab[..., 0], lab[..., 1:] * np.float32(0.7)
    linear = linear_of(L, ab)
    inside = (linear > 1e-5).all(axis=2) & (linear < 1 - 1e-5).all(axis=2)
    exact = np.where(linear > 0.0031308, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear) * 255
    assert inside.mean() > 0.9
    far = np.abs(join(L, ab) - np.rint(exact))[inside]
    assert far.max() <= 1
    assert far.mean() < 0.1
    assert np.abs(join16(L, ab) - 257 * exact)[inside].max() < 1.5


def test_a_colour_outside_of_the_gamut_keeps_its_hue_and_as_much_chroma_as_there_is_room_for():
    random = np.random.default_rng(4)
    L = random.uniform(15, 90, (100, 100)).astype(np.float32)
    angle = random.uniform(0, 2 * np.pi, L.shape)
    ab = (random.uniform(140, 400, L.shape)[..., None] * np.dstack((np.cos(angle), np.sin(angle)))).astype(np.float32)
    kept = lab_of(join16(L, ab))[..., 1:]
    along = (kept * ab).sum(axis=2) / np.linalg.norm(ab, axis=2)
    across = np.linalg.norm(kept, axis=2) ** 2 - along**2
    assert along.min() > 5
    assert np.sqrt(across.clip(0)).max() < 0.1
    larger = linear_of(L, kept * ((along + 0.5) / along)[..., None])
    assert ((larger < 1e-6) | (larger > 1 - 1e-6)).any(axis=2).all()


def test_saturated_colours_do_not_lose_more_than_they_must():
    """The primaries and their mixtures are inside of the gamut, at its very border."""
    codes = np.stack(np.meshgrid(*[[0, 128, 255]] * 3, indexing="ij"), axis=-1).reshape(1, -1, 3).astype(np.uint8)
    lab = np.ascontiguousarray(rgb_to_lab(codes))
    assert np.abs(join(lab[..., 0], lab[..., 1:]).astype(int) - codes).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lightness_is_that_of_the_reference(dtype):
    rgb = np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, (300, 301, 3)).astype(dtype)
    rgb[:4] //= 50
    assert np.abs(lightness_of(rgb) - lab_of(rgb)[..., 0]).max() < 1e-4


def test_grey_is_the_srgb_value_of_a_lightness_and_back():
    codes = np.arange(256, dtype=np.uint8)[None]
    L = lightness_of(np.repeat(codes[..., None], 3, axis=2))
    assert np.abs(grey_of(L) - codes / 255).max() < 1e-5
    assert np.abs(lightness_of_grey(grey_of(L)) - L).max() < 1e-3


@pytest.mark.parametrize("shape", [(1, 1), (1, 200_000), (200_000, 1), (300, 701), (65_537, 3)])
def test_every_shape_is_converted_whole(shape):
    """Pixel by pixel, whatever the strips."""
    random = np.random.default_rng(2)
    L = random.uniform(0, 100, shape).astype(np.float32)
    ab = random.uniform(-60, 60, (*shape, 2)).astype(np.float32)
    flat = join(L.reshape(-1, 1), ab.reshape(-1, 1, 2))
    assert np.array_equal(join(L, ab), flat.reshape(*shape, 3))
    assert np.array_equal(lightness_of(flat).reshape(shape), lightness_of(flat.reshape(*shape, 3)))
