import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color
from skimage import data as photographs

from recolor.measure.colour import colour_layout, measure_colour
from recolor.schemas import COLOUR, COLOUR_LAYOUT


def reference_residuals(rgb):
    """Lengths of what the best piecewise linear curve over L, with corners at 24 quantiles, leaves of a and b."""
    lab = color.rgb2lab(rgb).reshape(-1, 3)
    knots = np.unique(np.quantile(lab[:, 0], np.linspace(0, 1, 24)))
    hats = np.stack([np.interp(lab[:, 0], knots, unit) for unit in np.eye(len(knots))], axis=1)
    left = lab[:, 1:] - hats @ np.linalg.lstsq(hats, lab[:, 1:], rcond=None)[0]
    return np.hypot(left[:, 0], left[:, 1])


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


def test_the_residual_agrees_with_least_squares_in_double_precision():
    rgb = photographs.coffee()[100:148, 200:248]
    numbers, lengths = measure_colour(rgb, 96), reference_residuals(rgb)
    assert numbers["ab_residual"] == pytest.approx(np.sqrt((lengths**2).mean()), abs=1e-2)
    assert numbers["ab_residual_p90"] == pytest.approx(np.percentile(lengths, 90), abs=2e-2)


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
    layout = numbers.pop("colour_layout")
    assert list(numbers) == [column.name for column in COLOUR]
    assert np.isfinite(list(numbers.values())).all()
    assert len(layout) == COLOUR_LAYOUT
    assert np.isfinite(layout).all()


def test_the_layout_of_colours_agrees_with_counting_pixel_by_pixel():
    lab = color.rgb2lab(photographs.coffee()[::10, ::10]).astype(np.float32)
    L, a, b = lab[..., 0], lab[..., 1], lab[..., 2]
    cells = [[] for _ in range(9)]
    hues = np.zeros((3, 12))
    for row in range(len(L)):
        for at in range(L.shape[1]):
            light = int(L[row, at] >= 33) + int(L[row, at] >= 66)
            cells[row * 3 // len(L) * 3 + light].append((a[row, at], b[row, at]))
            turn = (np.degrees(np.arctan2(b[row, at], a[row, at])) + 180) / 30
            hues[light, int(turn) % 12] += np.hypot(a[row, at], b[row, at]) / L.size
    expected = np.zeros((6, 9))
    for at, cell in enumerate(cells):
        if cell:
            ab = np.array(cell, np.float64)
            covariance = np.cov(ab.T, bias=True)
            expected[:, at] = (
                3 * len(cell) / L.size, *ab.mean(axis=0), covariance[0, 0], covariance[1, 1], covariance[0, 1]
            )  # fmt: skip
    layout = colour_layout(L, a, b)
    assert layout.dtype == np.float32
    np.testing.assert_allclose(layout[:54].reshape(6, 9), expected, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(layout[54:].reshape(3, 12), hues, rtol=1e-3, atol=1e-3)
