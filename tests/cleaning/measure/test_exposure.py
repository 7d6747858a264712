import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data as photographs

from recolor.cleaning.measure import exposure
from recolor.cleaning.measure.sharpness import octaves
from recolor.color.lab import rgb_to_lab
from recolor.manifests.schemas import EXPOSURE_MEASURES


def measure(grey):
    return exposure.measure_exposure(octaves(grey))


def lightness(level):
    return rgb_to_lab(np.full((1, 3), level, np.uint8))[0, 0]


def test_tones_are_those_of_the_sorted_grey_levels():
    grey = cv2.cvtColor(photographs.rocket(), cv2.COLOR_RGB2GRAY)
    numbers, levels = measure(grey), np.sort(grey[::4], axis=None)
    assert numbers["L_p1"] == pytest.approx(lightness(levels[len(levels) // 100]))
    assert numbers["L_p999"] == pytest.approx(lightness(levels[len(levels) * 999 // 1000]), abs=1)
    assert numbers["clipped"] == pytest.approx((levels >= 250).mean())


def test_the_lightest_spot_is_seen_and_a_hot_pixel_is_not():
    dark = np.zeros((288, 384), np.uint8)
    moon, hot = dark.copy(), dark.copy()
    moon[100:108, 200:208] = 240
    hot[100, 200] = 255
    assert measure(moon)["L_max"] == pytest.approx(lightness(240))
    assert measure(hot)["L_max"] < 6


def test_the_darkest_spot_is_that_of_the_halved_image_so_that_a_dead_pixel_is_not_seen():
    white = np.full((288, 384), 240, np.uint8)
    twig, dead = white.copy(), white.copy()
    twig[100:160, 200:202] = 30
    dead[101, 201] = 0
    assert measure(twig)["L_min"] == pytest.approx(lightness(30))
    assert measure(dead)["L_min"] == pytest.approx(lightness(180))


def test_block_energies_are_those_of_the_laplacian():
    grey = cv2.cvtColor(photographs.rocket(), cv2.COLOR_RGB2GRAY)[:416, :640]
    reference = ndimage.laplace(octaves(grey)[2].astype(float), mode="mirror") ** 2
    blocks = reference.reshape(13, 8, 20, 8).mean(axis=(1, 3))
    numbers = measure(grey)
    assert numbers["block_energy_median"] == pytest.approx(np.sort(blocks, axis=None)[130], rel=1e-5)
    assert numbers["block_energy_max"] == pytest.approx(blocks.max(), rel=1e-5)


def test_a_gradient_lies_on_its_surface_and_a_small_subject_does_not():
    down, right = np.mgrid[:64, :64]
    gradient = np.rint(40 + 2 * down + 0.01 * (right - 20.0) ** 2).astype(np.uint8)
    subject = gradient.copy()
    subject[20:28, 30:38] = 0
    plain, with_subject = exposure.measure_surfaces(np.stack([gradient, subject]))
    assert plain < 1
    assert with_subject > 30


def test_the_distance_from_the_surface_is_that_of_least_squares():
    square = cv2.resize(photographs.camera(), (64, 64), interpolation=cv2.INTER_AREA)
    down, right = (axis.ravel() / 63 for axis in np.mgrid[:64, :64])
    terms = np.stack([down**i * right**j for i in range(5) for j in range(5 - i)], axis=1)
    values = square.ravel().astype(float)
    left = np.abs(values - terms @ np.linalg.lstsq(terms, values)[0])
    assert exposure.measure_surfaces(square[None])[0] == pytest.approx(np.percentile(left, 99), rel=0.01)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1), st.booleans())
def test_every_picture_has_finite_numbers(height, width, seed, flat):
    grey = np.random.default_rng(seed).integers(0, 256, (1, 1) if flat else (height, width), np.uint8)
    numbers = measure(np.broadcast_to(grey, (height, width)).copy())
    assert [*numbers, "surface_residual"] == [column.name for column in EXPOSURE_MEASURES]
    assert np.isfinite(list(numbers.values())).all()
