import hashlib

import cv2
import numpy as np
import pytest

from recolor.color.lab import rgb_to_lab
from recolor.demo.landscape import render_landscape
from recolor.demo.noise import Fractal, fractal_noise, linear
from recolor.demo.scene import BIOMES, draw_scene
from recolor.demo.terrain import Camera, view_from


def _generator(seed):
    return np.random.Generator(np.random.Philox(seed))


@pytest.fixture(scope="module")
def landscapes():
    return [render_landscape(seed, 192, 144) for seed in range(500, 548)]


def test_the_same_seed_gives_the_same_bytes():
    first, second = render_landscape(7, 160, 120), render_landscape(7, 160, 120)
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


@pytest.mark.slow  # renders landscapes
def test_other_seeds_give_other_pictures(landscapes):
    assert len({picture.tobytes() for picture in landscapes}) == len(landscapes)


@pytest.mark.parametrize(("width_px", "height_px"), [(384, 288), (120, 200), (400, 130), (64, 64)])
def test_a_picture_has_the_size_that_was_asked_for(width_px, height_px):
    picture = render_landscape(11, width_px, height_px)
    assert picture.shape == (height_px, width_px, 3)
    assert picture.dtype == np.uint8


def test_every_biome_can_be_drawn(landscapes):
    drawn = {draw_scene(_generator(seed)).biome for seed in range(400)}
    assert drawn == {biome for biome, _ in BIOMES}


def test_no_landscape_is_flat_or_grey(landscapes):
    for picture in landscapes:
        lab = rgb_to_lab(picture)
        assert np.ptp(lab[..., 0]) > 25
        assert np.hypot(lab[..., 1], lab[..., 2]).mean() > 3


def test_landscapes_are_as_colourful_as_photographs(landscapes):
    lab = rgb_to_lab(np.stack(landscapes))
    chroma = np.hypot(lab[..., 1], lab[..., 2]).mean(axis=(1, 2))
    assert 15 < chroma.mean() < 35
    assert np.quantile(chroma, 0.9) < 50


def test_colour_is_not_a_function_of_lightness(landscapes):
    residuals = [_residual_on_lightness(rgb_to_lab(picture)) for picture in landscapes]
    assert np.median(residuals) > 5
    assert np.mean(np.array(residuals) > 2) > 0.9


def _residual_on_lightness(lab):
    lightness = lab[..., 0].ravel()
    colour = lab[..., 1:].reshape(-1, 2)
    basis = np.vander(lightness / 100.0, 4)
    fitted = basis @ np.linalg.lstsq(basis, colour, rcond=None)[0]
    return np.sqrt(((colour - fitted) ** 2).sum(axis=1).mean())


def test_skies_are_bluer_than_the_ground_in_daylight():
    differences = []
    for seed in range(600, 640):
        scene = draw_scene(_generator(seed))
        if scene.hour in {"noon", "morning"} and not scene.water and scene.biome != "snow":
            lab = rgb_to_lab(render_landscape(seed, 160, 120))
            differences.append(lab[-30:, :, 2].mean() - lab[:30, :, 2].mean())
    assert len(differences) > 8
    assert min(differences) > 5


def test_landscapes_have_fine_detail():
    variances = [
        cv2.Laplacian(cv2.cvtColor(render_landscape(seed, 384, 288), cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
        for seed in range(700, 712)
    ]
    assert min(variances) > 50
    assert np.median(variances) > 200


def test_flat_land_is_seen_at_the_distance_that_similar_triangles_give():
    camera = Camera(width_px=100, height_px=100, horizon_px=40.0, eye_m=6.0)
    view = view_from(np.zeros((512, 512), np.float32), camera, water=False)
    below_px = np.arange(view.top_px, 100) - 40.0
    expected_m = camera.focal_px * 6.0 / below_px
    # Planes are half a percent of the distance apart; between them, positions are interpolated.
    np.testing.assert_allclose(view.y_m[5:, 50], expected_m[5:], rtol=0.02)


def test_a_wall_hides_what_lies_behind_it():
    height = np.zeros((512, 512), np.float32)
    height[100:110] = 40.0
    height[300:310] = 60.0
    view = view_from(height, Camera(width_px=80, height_px=80, horizon_px=40.0, eye_m=6.0), water=False)
    assert view.y_m[view.land].max() < 112


def test_fractal_noise_is_centred_and_within_bounds():
    noise = fractal_noise(_generator(3), Fractal(cells=6, octaves=6))
    assert noise.shape == (512, 512)
    assert abs(noise.mean()) < 0.3
    assert np.abs(noise).max() < 2.0


def test_hex_colours_become_linear_light():
    np.testing.assert_allclose(linear(0xFF0000), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(linear(0x808080, 0x000000)[0], 0.2158605, rtol=1e-5)
