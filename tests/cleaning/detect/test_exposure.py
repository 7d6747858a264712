import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.detect.exposure import detect_exposure, score_exposure
from recolor.config.settings import ExposureConfig
from recolor.demo.defects import DEFECTS
from recolor.demo.landscape import render_landscape

DEFAULT = ExposureConfig()
KEPT = {"coffee": photographs.coffee(), "astronaut": photographs.astronaut(), "rocket": photographs.rocket()}


def kinds(table):
    return {row["path"]: row["reason"].partition(":")[0] for row in detect_exposure(table, DEFAULT).to_pylist()}


def noise(rng, level, std=2.0, shape=(288, 384, 3)):
    return np.rint(np.clip(level + rng.normal(0, std, shape), 0, 255)).astype(np.uint8)


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("kind", DEFECTS["exposure"])
def test_pictures_in_which_nothing_is_to_be_seen_are_found_and_photographs_kept(measured, name, kind):
    empty = DEFECTS["exposure"][kind](KEPT[name], np.random.default_rng(3))
    assert list(kinds(measured({"empty.jpg": empty, "photograph.jpg": KEPT[name]}))) == ["empty.jpg"]


def test_rendered_landscapes_are_kept(measured):
    assert kinds(measured({f"{seed}.jpg": render_landscape(seed, 384, 288) for seed in range(6)})) == {}


def test_the_reason_names_the_kind_and_its_number(measured):
    rng = np.random.default_rng(4)
    white = noise(rng, 254.0, 1.0)
    white[:60, :100] = photographs.coffee()[:60, :100] // 2 + 120
    table = measured(
        {"black.jpg": noise(rng, 4.0), "blank.jpg": noise(rng, np.array([90.0, 120.0, 200.0])), "white.jpg": white}
    )
    reasons = {row["path"]: row["reason"] for row in detect_exposure(table, DEFAULT).to_pylist()}
    assert reasons["black.jpg"].startswith("black: 99.9% of the pixels are darker than L ")
    assert reasons["blank.jpg"].startswith("blank: one colour or a smooth gradient (99% of the pixels within ")
    assert "blown out: 9" in reasons["white.jpg"]


def test_a_night_with_a_moon_or_with_stars_is_kept(measured):
    rng = np.random.default_rng(5)
    moon, stars = noise(rng, 5.0), noise(rng, 12.0)
    moon[60:72, 300:312] = 235
    stars[rng.integers(0, 288, 300), rng.integers(0, 384, 300)] = rng.integers(120, 255, (300, 1))
    assert kinds(measured({"moon.jpg": moon, "stars.jpg": stars})) == {}


def test_a_silhouette_under_a_white_sky_is_kept_and_a_pale_rest_is_not(measured):
    silhouette = np.full((288, 384, 3), 255, np.uint8)
    silhouette[190:] = photographs.astronaut()[:98, :384] // 4
    pale = np.full((288, 384, 3), 255, np.uint8)
    pale[190:] = photographs.astronaut()[:98, :384] // 4 + 180
    assert kinds(measured({"silhouette.jpg": silhouette, "pale.jpg": pale})) == {"pale.jpg": "blown out"}


def test_a_picture_with_white_parts_and_nothing_dark_is_blown_out_and_a_twig_before_snow_keeps_it(measured):
    light = (photographs.coffee() / 255.0) ** 2.2 * 2**3.4 + 0.2  # 3.4 stops too much, and light in the lens
    veiled = np.rint(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    assert 0.2 < (veiled.min(axis=2) >= 250).mean() < 0.5
    twig = veiled.copy()
    twig[40:200, 300:304] = 40
    assert kinds(measured({"veiled.jpg": veiled, "twig.jpg": twig})) == {"veiled.jpg": "blown out"}


def test_a_clear_sky_with_something_small_is_kept_and_without_it_is_blank(measured):
    rng = np.random.default_rng(6)
    gradient = np.linspace([60, 110, 190], [150, 190, 230], 288)[:, None]
    sky = noise(rng, gradient, 1.5)
    balloon = sky.copy()
    balloon[100:116, 180:192] = (190, 60, 40)
    assert kinds(measured({"balloon.jpg": balloon, "sky.jpg": sky})) == {"sky.jpg": "blank"}


def test_an_image_that_was_not_decoded_is_not_judged(measured):
    table = measured({"bad.jpg": b"<html>"})
    assert score_exposure(table).tolist() == [1.0]
    assert detect_exposure(table, ExposureConfig(threshold=1.0)).num_rows == 0
