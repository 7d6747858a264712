import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import data
from skimage.color import rgb2lab

from recolor.color.lab import CODE_LOW, CODE_STEP, encode_lab, rgb_to_lab
from recolor.color.lab_codes import rgb_to_codes

RGB_ARRAYS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


@pytest.fixture(params=["random", "lattice", "dark", "photograph"])
def colours(request):
    values = {"lattice": np.arange(0, 256, 5), "dark": np.arange(32)}
    match request.param:
        case "random":
            return np.random.default_rng(17).integers(0, 256, (200_000, 3), np.uint8)
        case "photograph":
            return data.coffee().reshape(-1, 3)
        case name:
            return np.stack(np.meshgrid(*[values[name]] * 3), -1).reshape(-1, 3).astype(np.uint8)


def test_codes_are_those_of_lab_but_for_ties(colours):
    exact = (rgb2lab(colours / 255.0) - CODE_LOW) / CODE_STEP
    codes = rgb_to_codes(colours)
    assert codes.shape == (3, len(colours))
    assert np.abs(codes.T - exact).max() <= 0.5 + 1e-3  # none farther than the nearest, to a thousandth of a step
    assert (encode_lab(rgb_to_lab(colours)) != codes.T).mean() <= 5e-4


@given(RGB_ARRAYS)
def test_codes_keep_the_shape_whatever_the_array_lies_in_memory_like(rgb):
    view = rgb.transpose(1, 0, 2)
    assert rgb_to_codes(view).shape == (3, *view.shape[:-1])
    np.testing.assert_array_equal(rgb_to_codes(view), rgb_to_codes(np.ascontiguousarray(view)))
