import math

import numpy as np
import pytest
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from recolor.evaluation.metrics import (
    ab_distance,
    ab_mse,
    ab_psnr_db,
    colourfulness,
    delta_e_2000,
    image_metrics,
    psnr_db,
    ssim,
)


@pytest.fixture
def truth():
    return data.astronaut()[40:136, 150:270].copy()


@pytest.fixture
def changed(truth):
    noise = np.random.default_rng(1).integers(-30, 31, truth.shape)
    return np.clip(truth.astype(int) + noise, 0, 255).astype(np.uint8)


def test_psnr_is_that_of_skimage(truth, changed):
    assert psnr_db(changed, truth) == pytest.approx(peak_signal_noise_ratio(truth, changed, data_range=255), abs=1e-9)


def test_psnr_of_a_constant_error_of_ten_is_28_13_db():
    grey = np.full((5, 7, 3), 100, np.uint8)
    assert psnr_db(grey + 10, grey) == pytest.approx(20 * math.log10(255 / 10))
    assert psnr_db(grey + 10, grey) == pytest.approx(28.13, abs=0.005)


def test_psnr_of_equal_images_is_finite(truth):
    assert psnr_db(truth, truth) == 100.0


def test_ssim_is_that_of_skimage_with_the_papers_window(truth, changed):
    reference = structural_similarity(
        truth, changed, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(changed, truth) == pytest.approx(reference, abs=1e-12)
    assert ssim(truth, truth) == pytest.approx(1.0)
    assert ssim(changed, truth) < 0.9


def test_ssim_is_the_papers_formula_on_one_window():
    """Wang et al. 2004, eq. 13, over an 11 x 11 image: the mean of the only whole window."""
    random = np.random.default_rng(2)
    x, y = random.integers(0, 256, (2, 11, 11, 3), dtype=np.uint8)
    distance = np.arange(11) - 5
    window = np.exp(-(distance**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        a, b = x[..., channel].astype(float), y[..., channel].astype(float)
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * a * a).sum() - mean_a**2, (window * b * b).sum() - mean_b**2
        covariance = (window * a * b).sum() - mean_a * mean_b
        numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
        values.append(numerator / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    assert ssim(x, y) == pytest.approx(np.mean(values), abs=1e-6)


def test_delta_e_is_that_of_skimage_in_float64(truth, changed):
    reference = deltaE_ciede2000(rgb2lab(truth), rgb2lab(changed)).mean()
    assert delta_e_2000(changed, truth) == pytest.approx(reference, abs=1e-3)
    assert delta_e_2000(truth, truth) == 0.0


def test_ab_errors_against_a_sum_by_hand():
    truth_ab = np.array([[[10, -20], [0, 0]]], np.float32)
    ab = np.array([[[13, -16], [0, 12]]], np.float32)
    assert ab_mse(ab, truth_ab) == pytest.approx((9 + 16 + 0 + 144) / 4 / 255**2)
    assert ab_distance(ab, truth_ab) == pytest.approx((5 + 12) / 2)


def test_ab_mse_is_in_the_units_of_older_colorizers():
    random = np.random.default_rng(3)
    ab, truth_ab = random.uniform(-80, 80, (2, 9, 8, 2)).astype(np.float32)
    scaled, scaled_truth = (ab.astype(float) + 128) / 255, (truth_ab.astype(float) + 128) / 255
    assert ab_mse(ab, truth_ab) == pytest.approx(np.mean((scaled - scaled_truth) ** 2), rel=1e-6)


def test_colourfulness_of_two_pixels_by_hand():
    """rg = (255, -255), yb = (127.5, 127.5): σ = 255, μ = 127.5."""
    red_green = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    assert colourfulness(red_green) == pytest.approx(255 + 0.3 * 127.5)
    assert colourfulness(red_green, absolute=True) == pytest.approx(0.3 * math.hypot(255, 127.5))


def test_colourfulness_is_the_papers_formula(truth):
    red, green, blue = (truth[..., channel].astype(float) for channel in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    expected = math.sqrt(rg.var() + yb.var()) + 0.3 * math.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert colourfulness(truth) == pytest.approx(expected)


def test_grey_has_no_colourfulness_in_either_way():
    grey = np.repeat(data.camera()[::8, ::8, None], 3, axis=2)
    assert colourfulness(grey) == 0.0
    assert colourfulness(grey, absolute=True) == 0.0


def test_the_two_ways_agree_where_no_opponent_changes_sign():
    warm = np.random.default_rng(4).integers(0, 60, (20, 20, 3)).astype(np.uint8) + np.array([190, 90, 0], np.uint8)
    assert colourfulness(warm) == pytest.approx(colourfulness(warm, absolute=True))


def test_the_psnr_of_ab_is_of_the_range_of_255_units():
    assert ab_psnr_db(1.9e-3) == pytest.approx(27.2125, abs=1e-4)
    assert ab_psnr_db(0.0) == 100.0


def test_an_images_metrics_are_those_of_its_parts(truth, changed):
    ab, truth_ab = np.random.default_rng(5).uniform(-40, 40, (2, 96, 120, 2)).astype(np.float32)
    measured = image_metrics(changed, truth, ab, truth_ab, lpips=0.25)
    assert measured.ab_rmse == pytest.approx(255 * math.sqrt(measured.ab_mse))
    assert measured.ab_psnr_db == pytest.approx(-10 * math.log10(measured.ab_mse))
    assert measured.delta_cf == pytest.approx(abs(colourfulness(changed) - colourfulness(truth)))
    assert measured.lpips == 0.25
