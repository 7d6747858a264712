import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color
from skimage import data as photographs

from recolor.cleaning.measure.colour import COLOUR_PX, measure_colours
from recolor.cleaning.measure.sharpness import octaves, square_copy
from recolor.manifests.schemas import COLOUR, COLOUR_LAYOUT, COLOUR_TONES


def measure_colour(rgb):
    """The numbers of one picture, of any size."""
    columns = measure_colours(square_copy(octaves(rgb), COLOUR_PX)[None])
    return {name: values[0] for name, values in columns.items()}


def reference_residuals(rgb):
    """What the best line over L leaves of a and b, in 24 stretches of as many pixels in the order of L: [24, n]."""
    lab = color.rgb2lab(rgb).reshape(-1, 3)
    left = []
    for stretch in np.split(lab[np.argsort(lab[:, 0], kind="stable")], 24):
        line = np.stack([stretch[:, 0], np.ones(len(stretch))], axis=1)
        left.append(stretch[:, 1:] - line @ np.linalg.lstsq(line, stretch[:, 1:], rcond=None)[0])
    return np.linalg.norm(left, axis=2)


def test_numbers_agree_with_a_reference_in_double_precision():
    rgb = photographs.coffee()[:48, 100:148]
    numbers = measure_colour(rgb)
    lab = color.rgb2lab(rgb)
    a, b = lab[..., 1], lab[..., 2]
    assert numbers["L_mean"] == pytest.approx(lab[..., 0].mean(), abs=1e-3)
    assert numbers["contrast"] == pytest.approx(lab[..., 0].std(), abs=1e-3)
    assert numbers["a_mean"] == pytest.approx(a.mean(), abs=1e-3)
    assert numbers["b_std"] == pytest.approx(b.std(), abs=1e-3)
    assert numbers["ab_covariance"] == pytest.approx(np.cov(a.ravel(), b.ravel(), bias=True)[0, 1], abs=1e-2)
    assert numbers["chroma_mean"] == pytest.approx(np.hypot(a, b).mean(), abs=1e-3)
    assert numbers["chroma_p95"] == pytest.approx(np.percentile(np.hypot(a, b), 95), abs=0.2)
    assert numbers["a_band_0"] == pytest.approx(a[:16].mean(), abs=1e-3)
    assert numbers["b_band_2"] == pytest.approx(b[32:].mean(), abs=1e-3)


@pytest.mark.parametrize("left_px", [0, 200, 400])
def test_the_residual_agrees_with_least_squares_in_double_precision(left_px):
    rgb = photographs.coffee()[100:148, left_px : left_px + 48]
    numbers, lengths = measure_colour(rgb), reference_residuals(rgb)
    assert numbers["ab_residual"] == pytest.approx(np.sqrt((lengths**2).mean()), rel=2e-2)  # ties, in either order
    assert numbers["ab_residual_p90"] == pytest.approx(np.percentile(lengths, 90), rel=4e-2)
    of_stretches = np.sqrt((lengths**2).mean(axis=1))
    assert numbers["ab_residual_median"] == pytest.approx(np.median(of_stretches), rel=4e-2)


def test_colour_that_follows_lightness_leaves_no_residual():
    grey = photographs.camera()[::4, ::4].astype(float)
    sepia = np.clip(grey[..., None] * [1.0, 0.9, 0.7], 0, 255).astype(np.uint8)
    assert measure_colour(np.repeat(grey[..., None], 3, axis=2).astype(np.uint8))["ab_residual"] < 0.01
    assert measure_colour(sepia)["ab_residual"] < 0.6
    assert measure_colour(photographs.coffee())["ab_residual"] > 5


def test_a_cast_is_how_far_the_greyest_colours_are_from_grey():
    plain = photographs.coffee()
    tinted = (plain * 0.5 + np.array([0, 0, 255]) * 0.5).astype(np.uint8)
    assert measure_colour(plain)["cast"] < 10
    assert measure_colour(tinted)["cast"] > 30


def test_one_hue_has_no_entropy_and_all_hues_have_much():
    one = np.zeros((20, 20, 3), np.uint8)
    one[..., 0] = np.arange(20) * 10
    hues = (np.stack(np.meshgrid(np.linspace(0, 1, 72), np.ones(4)), axis=-1), np.ones((4, 72, 1)))
    wheel = (color.hsv2rgb(np.concatenate([hues[0][..., :1], hues[1], hues[1]], axis=2)) * 255).astype(np.uint8)
    assert measure_colour(one)["hue_entropy"] < 0.3
    assert measure_colour(wheel)["hue_entropy"] > 0.7


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.booleans())
def test_every_picture_has_finite_numbers(height, width, seed, flat):
    rgb = np.random.default_rng(seed).integers(0, 256, (1 if flat else height, 1 if flat else width, 3), dtype=np.uint8)
    numbers = measure_colour(np.broadcast_to(rgb, (height, width, 3)).copy())
    layout, tones = (np.frombuffer(numbers.pop(name), "<f4") for name in ("colour_layout", "colour_tones"))
    assert list(numbers) == [column.name for column in COLOUR]
    assert np.isfinite(list(numbers.values())).all()
    assert (len(layout), len(tones)) == (COLOUR_LAYOUT, COLOUR_TONES)
    assert np.isfinite(layout).all()
    assert np.isfinite(tones).all()


@settings(max_examples=20)
@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_numbers_do_not_depend_on_the_pictures_beside_it(count, seed):
    squares = np.random.default_rng(seed).integers(0, 256, (count, COLOUR_PX, COLOUR_PX, 3), dtype=np.uint8)
    at = seed % count
    together, alone = measure_colours(squares), measure_colours(squares[at : at + 1])
    assert {name: values[at] for name, values in together.items()} == {name: only for name, (only,) in alone.items()}


def test_the_layout_of_colours_agrees_with_counting_pixel_by_pixel():
    rgb = square_copy(octaves(photographs.coffee()), COLOUR_PX)
    lab = color.rgb2lab(rgb)
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
            ab = np.array(cell)
            covariance = np.cov(ab.T, bias=True)
            expected[:, at] = (
                3 * len(cell) / L.size, *ab.mean(axis=0), covariance[0, 0], covariance[1, 1], covariance[0, 1]
            )  # fmt: skip
    layout = np.frombuffer(measure_colours(rgb[None])["colour_layout"][0], "<f4")
    np.testing.assert_allclose(layout[:54].reshape(6, 9), expected, rtol=1e-3, atol=1e-2)
    # The angles are OpenCV's, good to a hundredth of a degree: a pixel at an edge may be counted on its other side.
    np.testing.assert_allclose(layout[54:].reshape(3, 12), hues, atol=0.05)
