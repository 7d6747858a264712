import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import data
from skimage.color import lab2rgb, rgb2lab

from recolor.color.lab import CODE_HIGH, CODE_LOW, CODE_STEP, decode_lab, encode_lab, lab_to_rgb, rgb_to_lab

RGB_ARRAYS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def lattice(values):
    return np.stack(np.meshgrid(values, values, values), -1).reshape(-1, 3).astype(np.uint8)


def gamut_edges():
    """Every colour on the 12 edges of the RGB cube, and its 6 faces in steps of 3."""
    along = np.arange(256)
    corners = lattice([0, 255])
    edges = [np.insert(np.full((256, 2), pair), axis, along, axis=1) for axis in range(3) for pair in _pairs()]
    face = np.stack(np.meshgrid(along[::3], along[::3]), -1).reshape(-1, 2)
    faces = [np.insert(face, axis, value, axis=1) for axis in range(3) for value in (0, 255)]
    return np.concatenate([corners, *edges, *faces]).astype(np.uint8)


def _pairs():
    return [(0, 0), (0, 255), (255, 0), (255, 255)]


def delta_e(first, second):
    return np.linalg.norm(np.asarray(first, np.float64) - second, axis=-1)


@pytest.fixture(scope="module", params=["random", "edges", "lattice", "dark"])
def colours(request):
    match request.param:
        case "random":
            return np.random.default_rng(7).integers(0, 256, (200_000, 3), np.uint8)
        case "edges":
            return gamut_edges()
        case "lattice":
            return lattice(np.arange(0, 256, 5))
        case _:
            return lattice(np.arange(0, 32))


def test_lab_is_skimage_float64_to_a_thousandth(colours):
    lab = rgb_to_lab(colours)
    assert lab.dtype == np.float32
    assert delta_e(lab, rgb2lab(colours / 255.0)).max() <= 1e-3


def test_every_colour_comes_back_exactly(colours):
    np.testing.assert_array_equal(lab_to_rgb(rgb_to_lab(colours)), colours)


def test_colours_outside_of_the_gamut_are_clipped_as_skimage_does():
    lab = np.random.default_rng(8).uniform([0, -128, -128], [100, 127, 127], (100_000, 3))
    with pytest.warns(UserWarning, match="negative Z"):
        reference = lab2rgb(lab) * 255
    assert np.abs(lab_to_rgb(lab) - reference).max() <= 0.502  # rounding, and float32


@given(RGB_ARRAYS)
def test_shape_is_kept_and_pixels_do_not_influence_each_other(rgb):
    lab = rgb_to_lab(rgb)
    assert lab.shape == rgb.shape
    np.testing.assert_allclose(lab[-1, -1], rgb_to_lab(rgb[-1, -1]), atol=1e-4)
    np.testing.assert_array_equal(lab_to_rgb(lab), rgb)


@given(RGB_ARRAYS)
def test_an_array_that_is_not_contiguous_gives_the_same(rgb):
    view = rgb.transpose(1, 0, 2)
    np.testing.assert_array_equal(rgb_to_lab(view), rgb_to_lab(np.ascontiguousarray(view)))
    np.testing.assert_array_equal(encode_lab(rgb_to_lab(rgb)[::2, ::-1]), encode_lab(rgb_to_lab(rgb))[::2, ::-1])


def test_grey_has_no_colour_and_its_lightness_grows():
    grey = rgb_to_lab(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))
    assert np.abs(grey[:, 1:]).max() < 0.02
    assert (np.diff(grey[:, 0]) > 0).all()
    assert grey[0, 0] == 0
    assert grey[255, 0] == pytest.approx(100, abs=1e-4)


def test_the_code_book_covers_the_gamut():
    lab = rgb2lab(gamut_edges() / 255.0)
    assert (lab.min(0) >= np.array(CODE_LOW) - 1e-9).all()
    assert (lab.max(0) <= np.array(CODE_HIGH) + 1e-4).all()
    assert (lab.max(0) - lab.min(0) > np.array(CODE_HIGH) - np.array(CODE_LOW) - 0.2).all()


def test_coding_errs_by_at_most_035_on_average_and_075_anywhere(colours):
    error = delta_e(decode_lab(encode_lab(rgb_to_lab(colours))), rgb2lab(colours / 255.0))
    assert error.mean() <= 0.35
    assert error.max() <= 0.75


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_coding_errs_by_at_most_035_on_average_and_075_anywhere_on_photographs(name):
    rgb = getattr(data, name)()
    error = delta_e(decode_lab(encode_lab(rgb_to_lab(rgb))), rgb2lab(rgb / 255.0))
    assert error.mean() <= 0.35
    assert error.max() <= 0.75


@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(3))))
def test_codes_come_back_exactly(codes):
    np.testing.assert_array_equal(encode_lab(decode_lab(codes)), codes)


@given(hnp.arrays(np.float64, (4, 3), elements=st.floats(-300, 300)))
def test_a_code_is_the_nearest_in_its_range(lab):
    nearest = np.clip(lab, CODE_LOW, CODE_HIGH)
    assert (np.abs(decode_lab(encode_lab(lab)) - nearest) <= np.array(CODE_STEP) / 2 + 1e-4).all()
