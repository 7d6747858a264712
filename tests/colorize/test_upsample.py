from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from recolor.color.lab import rgb_to_lab
from recolor.colorize.upsample import resize, upsample

PHOTOGRAPHS = Path("../shared/data/photos_full/files")


def reduced(rgb, factor):
    """Lab of a photograph, cropped to multiples of the factor, and the same reduced by area."""
    height, width = (side // factor * factor for side in rgb.shape[:2])
    lab = np.ascontiguousarray(rgb_to_lab(rgb[:height, :width]))
    small = cv2.resize(lab, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return lab, small


def rmse(ab, truth, where=None):
    squared = np.square(ab - truth).mean(axis=2)
    return float(np.sqrt((squared if where is None else squared[where]).mean()))


def strongest_edges(ab):
    """The 10% of the pixels where colour changes most."""
    steps = sum(
        np.hypot(cv2.Sobel(channel, cv2.CV_32F, 1, 0), cv2.Sobel(channel, cv2.CV_32F, 0, 1))
        for channel in cv2.split(ab)
    )
    return steps > np.percentile(steps, 90)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "astronaut", "rocket"])
def test_it_is_nearer_to_the_truth_than_interpolation(name):
    lab, small = reduced(getattr(data, name)(), 4)
    ab = upsample(small[..., 1:], small[..., 0], lab[..., 0])
    bicubic = cv2.resize(small[..., 1:], lab.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    assert rmse(ab, lab[..., 1:]) < rmse(bicubic, lab[..., 1:])


@pytest.mark.slow  # renders landscapes
def test_it_is_nearer_at_the_edges_of_landscapes():
    """Averaged over photographs of 2 to 10 megapixels: no method is best for every photograph."""
    files = sorted(PHOTOGRAPHS.glob("*.jpg"))[:4]
    if not files:
        pytest.skip("the photographs are not there")
    ours, interpolated = [], []
    for file in files:
        with Image.open(file) as picture:
            rgb = np.asarray(picture.convert("RGB").reduce(2))
        lab, small = reduced(rgb, 4)
        edges = strongest_edges(np.ascontiguousarray(lab[..., 1:]))
        ours.append(rmse(upsample(small[..., 1:], small[..., 0], lab[..., 0]), lab[..., 1:], edges))
        bicubic = cv2.resize(small[..., 1:], lab.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        interpolated.append(rmse(bicubic, lab[..., 1:], edges))
    assert np.mean(ours) < 0.92 * np.mean(interpolated)


def test_colour_follows_an_edge_of_lightness():
    """Two surfaces whose border lies inside a small pixel."""
    truth = np.zeros((64, 64, 3), np.float32)
    truth[:, :30] = (30, -20, 40)
    truth[:, 30:] = (80, 30, -40)
    small = cv2.resize(truth, (16, 16), interpolation=cv2.INTER_AREA)
    ab = upsample(small[..., 1:], small[..., 0], truth[..., 0])
    bicubic = cv2.resize(small[..., 1:], (64, 64), interpolation=cv2.INTER_CUBIC)
    assert rmse(ab, truth[..., 1:]) < 0.5 * rmse(bicubic, truth[..., 1:])


def test_texture_without_colour_makes_none():
    L = np.random.default_rng(0).uniform(0, 100, (80, 96)).astype(np.float32)
    small = cv2.resize(L, (24, 20), interpolation=cv2.INTER_AREA)
    flat = np.full((20, 24, 2), (12.5, -7.25), np.float32)
    assert np.abs(upsample(flat, small, L) - flat[0, 0]).max() < 1e-3


@pytest.mark.parametrize("factor", [3, 4, 7, 15])
def test_the_mean_over_a_small_pixel_keeps_its_colour(factor):
    lab, small = reduced(data.astronaut(), factor)
    ab = upsample(small[..., 1:], small[..., 0], lab[..., 0])
    means = cv2.resize(ab, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    bicubic = cv2.resize(small[..., 1:], lab.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    of_bicubic = cv2.resize(bicubic, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert rmse(means, small[..., 1:]) < 0.5 * rmse(of_bicubic, small[..., 1:])


def test_at_its_own_size_colour_is_not_touched():
    random = np.random.default_rng(1)
    ab, L = random.normal(0, 20, (40, 48, 2)).astype(np.float32), random.uniform(0, 100, (40, 48)).astype(np.float32)
    assert np.array_equal(upsample(ab, L, L), ab)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (1, 300), (40, 1000), (32, 64), (200, 90), (65, 33)])
def test_every_size_is_reached_with_finite_colours_near_those_given(size):
    random = np.random.default_rng(2)
    ab = random.uniform(-50, 50, (32, 64, 2)).astype(np.float32)
    L_small = random.uniform(0, 100, (32, 64)).astype(np.float32)
    out = upsample(ab, L_small, resize(L_small, size[1], size[0]))
    assert out.shape == (*size, 2)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 150


def test_resizing_is_by_area_along_the_side_that_shrinks():
    """A panorama gets fewer columns and more rows; a wrong filter would skip or repeat thin columns."""
    image = np.random.default_rng(3).uniform(0, 1, (8, 400)).astype(np.float32)
    narrow = image.reshape(8, 40, 10).mean(axis=2)
    assert np.abs(resize(image, 40, 8) - narrow).max() < 1e-5
    assert np.abs(resize(image, 40, 16) - cv2.resize(narrow, (40, 16), interpolation=cv2.INTER_CUBIC)).max() < 1e-5
