import cv2
import numpy as np
import pytest

from recolor.color.lab import rgb_to_lab
from recolor.demo.defects import DEFECTS, SHAPES_PX
from recolor.demo.landscape import render_landscape


@pytest.fixture(scope="module")
def rgb():
    return render_landscape(33, 384, 288)


def _generator(seed):
    return np.random.Generator(np.random.Philox(seed))


@pytest.mark.parametrize("kind", DEFECTS["monochrome"])
def test_a_monochrome_picture_has_one_colour_for_each_luma(rgb, kind):
    picture = DEFECTS["monochrome"][kind](rgb, _generator(2))
    channels = picture.reshape(rgb.shape[0] * rgb.shape[1], -1)
    basis = np.vander((rgb @ [0.299, 0.587, 0.114]).ravel() / 255, 2)
    if kind == "sepia":  # its three channels are three lumas, and saturate
        assert np.corrcoef(channels.T).min() > 0.98
        return
    fitted = basis @ np.linalg.lstsq(basis, channels.astype(float), rcond=None)[0]
    assert np.abs(fitted - channels).max() < 1.0


def test_mode_l_has_one_channel_and_grey_rgb_three(rgb):
    assert DEFECTS["monochrome"]["mode_l"](rgb, _generator(0)).shape == (288, 384)
    assert DEFECTS["monochrome"]["grey_rgb"](rgb, _generator(0)).shape == (288, 384, 3)


@pytest.mark.parametrize(
    ("kind", "towards"),
    [("orange_cast", (5, 30)), ("blue_cast", (-5, -30)), ("green_cast", (-30, 20)), ("magenta_cast", (30, -20))],
)
def test_a_cast_moves_the_mean_colour_its_way(rgb, kind, towards):
    shift = rgb_to_lab(DEFECTS["skewed"][kind](rgb, _generator(0)))[..., 1:] - rgb_to_lab(rgb)[..., 1:]
    mean = shift.mean(axis=(0, 1))
    assert np.hypot(*mean) > 15
    assert np.dot(mean, towards) / np.hypot(*mean) / np.hypot(*towards) > 0.7


def test_swapping_channels_twice_gives_the_picture_back(rgb):
    swap = DEFECTS["skewed"]["swapped_channels"]
    np.testing.assert_array_equal(swap(swap(rgb, _generator(0)), _generator(0)), rgb)


def test_a_single_hue_keeps_lightness_and_loses_the_other_hues(rgb):
    lab = rgb_to_lab(DEFECTS["skewed"]["single_hue"](rgb, _generator(4)))
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.arctan2(lab[..., 2], lab[..., 1])[chroma > 10]
    assert np.abs(np.exp(1j * hue).mean()) > 0.97
    assert np.abs(lab[..., 0] - rgb_to_lab(rgb)[..., 0]).mean() < 4


@pytest.mark.parametrize("kind", DEFECTS["blurry"])
def test_a_blurred_picture_has_lost_its_fine_detail(rgb, kind):
    blurred = DEFECTS["blurry"][kind](rgb, _generator(1))
    assert blurred.shape == rgb.shape
    assert _laplacian_variance(blurred) < 0.25 * _laplacian_variance(rgb)


def test_the_blur_of_a_picture_of_twice_the_size_is_twice_as_wide():
    dot = np.zeros((576, 576, 3), np.uint8)
    dot[280:296, 280:296] = 255
    large = DEFECTS["blurry"]["gaussian_4"](dot, _generator(0))
    small = DEFECTS["blurry"]["gaussian_4"](np.ascontiguousarray(dot[::2, ::2]), _generator(0))
    assert np.abs(large[::2, ::2].astype(int) - small).max() <= 6


@pytest.mark.parametrize("kind", DEFECTS["exposure"])
def test_of_a_picture_without_exposure_next_to_nothing_is_left(rgb, kind):
    empty = DEFECTS["exposure"][kind](rgb, _generator(5))
    assert empty.shape == rgb.shape
    by_row = empty - empty.mean(axis=1, keepdims=True)
    assert (empty.min(axis=2) == 255).mean() > 0.8 or by_row.std() < 0.15 * (
        rgb - rgb.mean(axis=1, keepdims=True)
    ).std()


@pytest.mark.parametrize("kind", DEFECTS["low_resolution"])
def test_a_small_picture_keeps_its_shape(rgb, kind):
    height_px, width_px = DEFECTS["low_resolution"][kind](rgb, _generator(0)).shape[:2]
    assert height_px == int(kind.rpartition("_")[2]) < 256
    assert width_px / height_px == pytest.approx(384 / 288, abs=0.02)


def test_extreme_shapes_are_extreme_and_not_small():
    assert set(SHAPES_PX) == set(DEFECTS["extreme_aspect"])
    for width_px, height_px in SHAPES_PX.values():
        assert max(width_px / height_px, height_px / width_px) > 2
        assert min(width_px, height_px) >= 256


def _laplacian_variance(rgb):
    return cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
