import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color
from skimage import data as photographs

from recolor.measure.colour import measure_colour
from recolor.schemas import COLOUR


def reference_residual(rgb):
    lab = color.rgb2lab(rgb).reshape(-1, 3)
    powers = np.stack([lab[:, 0] ** power for power in range(4)], axis=1)
    left = lab[:, 1:] - powers @ np.linalg.lstsq(powers, lab[:, 1:], rcond=None)[0]
    return np.sqrt((left**2).sum(axis=1).mean())


def test_numbers_agree_with_a_reference_in_double_precision():
    rgb = photographs.coffee()[:90, :96]
    numbers = measure_colour(rgb, 96)
    lab = color.rgb2lab(rgb)
    assert numbers["L_mean"] == pytest.approx(lab[..., 0].mean(), abs=1e-3)
    assert numbers["contrast"] == pytest.approx(lab[..., 0].std(), abs=1e-3)
    assert numbers["a_mean"] == pytest.approx(lab[..., 1].mean(), abs=1e-3)
    assert numbers["b_std"] == pytest.approx(lab[..., 2].std(), abs=1e-3)
    assert numbers["ab_covariance"] == pytest.approx(
        np.cov(lab[..., 1].ravel(), lab[..., 2].ravel(), bias=True)[0, 1], abs=1e-2
    )
    assert numbers["chroma_mean"] == pytest.approx(np.hypot(lab[..., 1], lab[..., 2]).mean(), abs=1e-3)
    assert numbers["chroma_p95"] == pytest.approx(np.percentile(np.hypot(lab[..., 1], lab[..., 2]), 95), abs=0.2)
    assert numbers["a_band_0"] == pytest.approx(lab[:30, :, 1].mean(), abs=1e-3)
    assert numbers["b_band_2"] == pytest.approx(lab[60:, :, 2].mean(), abs=1e-3)
    assert numbers["ab_residual"] == pytest.approx(reference_residual(rgb), abs=1e-2)


def test_colour_that_follows_lightness_leaves_no_residual():
    grey = photographs.camera()[::4, ::4].astype(float)
    sepia = np.clip(grey[..., None] * [1.0, 0.9, 0.7], 0, 255).astype(np.uint8)
    assert measure_colour(np.repeat(grey[..., None], 3, axis=2).astype(np.uint8), 128)["ab_residual"] < 0.01
    assert measure_colour(sepia, 128)["ab_residual"] < 0.6
    assert measure_colour(photographs.coffee(), 96)["ab_residual"] > 5


def test_a_cast_is_how_far_the_greyest_colours_are_from_grey():
    plain = photographs.coffee()
    tinted = (plain * 0.5 + np.array([0, 0, 255]) * 0.5).astype(np.uint8)
    assert measure_colour(plain, 96)["cast"] < 10
    assert measure_colour(tinted, 96)["cast"] > 30


def test_one_hue_has_no_entropy_and_all_hues_have_much():
    one = np.zeros((20, 20, 3), np.uint8)
    one[..., 0] = np.arange(20) * 10
    hues = (np.stack(np.meshgrid(np.linspace(0, 1, 72), np.ones(4)), axis=-1), np.ones((4, 72, 1)))
    wheel = (color.hsv2rgb(np.concatenate([hues[0][..., :1], hues[1], hues[1]], axis=2)) * 255).astype(np.uint8)
    assert measure_colour(one, 96)["hue_entropy"] < 0.3
    assert measure_colour(wheel, 96)["hue_entropy"] > 0.7


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.booleans())
def test_every_picture_has_finite_numbers(height, width, seed, flat):
    rgb = np.random.default_rng(seed).integers(0, 256, (1 if flat else height, 1 if flat else width, 3), dtype=np.uint8)
    numbers = measure_colour(np.broadcast_to(rgb, (height, width, 3)).copy(), 96)
    assert list(numbers) == [column.name for column in COLOUR]
    assert np.isfinite(list(numbers.values())).all()
