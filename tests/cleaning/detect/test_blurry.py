import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.detect.blurry import NETWORK_FILE, detect_blurry, score_blurry
from recolor.config.loading import load_config
from recolor.config.settings import BlurryConfig, MeasureConfig
from recolor.errors import ConfigError

ROOT = Path(__file__).parents[3]
SHARED = ROOT / "../shared/data"

DEFAULT = BlurryConfig()
SHARP = {"coffee": photographs.coffee(), "astronaut": photographs.astronaut(), "rocket": photographs.rocket()}


def enlarged(picture, factor):
    small = cv2.resize(picture, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)


DAMAGE = {
    "gauss 2": lambda picture: cv2.GaussianBlur(picture, (0, 0), 2),
    "gauss 4": lambda picture: cv2.GaussianBlur(picture, (0, 0), 4),
    "gauss 8": lambda picture: cv2.GaussianBlur(picture, (0, 0), 8),
    "enlarged 4": lambda picture: enlarged(picture, 4),
    "moved": lambda picture: cv2.filter2D(picture, -1, np.full((1, 25), 1 / 25, np.float32)),
}


@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize("kind", DAMAGE)
def test_blurred_photographs_are_found_and_sharp_ones_kept(measured, name, kind):
    table = measured({"blurred.jpg": DAMAGE[kind](SHARP[name]), "sharp.jpg": SHARP[name]})
    assert [row["path"] for row in detect_blurry(table, DEFAULT).to_pylist()] == ["blurred.jpg"]


def test_small_copies_of_sharp_photographs_are_sharp(measured):
    table = measured(
        {
            f"{name}.jpg": cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
            for name, picture in SHARP.items()
        }
    )
    assert not len(detect_blurry(table, DEFAULT))


def test_fog_and_shallow_focus_are_kept(measured):
    fog = (photographs.rocket() * 0.3 + 140).astype(np.uint8)
    shallow = cv2.GaussianBlur(photographs.astronaut(), (0, 0), 5)
    shallow[100:350, 100:350] = photographs.astronaut()[100:350, 100:350]
    assert not len(detect_blurry(measured({"fog.jpg": fog, "shallow.jpg": shallow}), DEFAULT))


def test_more_blur_scores_lower_until_nothing_is_left(measured):
    pictures = {
        f"{at}.jpg": cv2.GaussianBlur(SHARP["coffee"], (0, 0), sigma) for at, sigma in enumerate((0.3, 0.6, 0.9, 1.2))
    }
    score = score_blurry(measured(pictures))
    assert score.tolist() == sorted(score, reverse=True)


def test_undecoded_images_are_not_judged(measured):
    table = measured({"a.jpg": b"broken"})
    assert score_blurry(table).tolist() == [1.0]
    assert not len(detect_blurry(table, BlurryConfig(threshold=1.0)))


@pytest.mark.parametrize("sigma", [16, 32, 64])
@pytest.mark.parametrize("name", SHARP)
def test_the_heaviest_blur_is_found_though_it_leaves_detail_in_no_octave(measured, jpeg, name, sigma):
    large = cv2.resize(SHARP[name], (1024, 704), interpolation=cv2.INTER_CUBIC)
    heavy = cv2.GaussianBlur(large, (0, 0), sigma)
    assert len(detect_blurry(measured({"good.jpg": heavy, "poor.jpg": jpeg(heavy, quality=20)}), DEFAULT)) == 2


def test_a_plain_sky_a_moon_and_a_silhouette_are_kept(measured):
    height = np.linspace(0, 1, 480)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 1, (480, 640, 3))
    sky = np.clip(np.array([90, 140, 210]) + 60 * height + noise, 0, 255).astype(np.uint8)
    moon = sky // 4
    cv2.circle(moon, (430, 150), 22, (235, 230, 215), -1, cv2.LINE_AA)
    hills = sky.copy()
    cv2.fillPoly(
        hills, [np.array([[0, 479], [0, 330], [200, 250], [330, 340], [500, 280], [639, 360], [639, 479]])], 15
    )
    assert not len(detect_blurry(measured({"sky.jpg": sky, "moon.jpg": moon, "hills.jpg": hills}), DEFAULT))


def test_reasons_say_in_plain_words_how_it_is_blurred(measured):
    picture = SHARP["coffee"]
    found = detect_blurry(measured({"a.jpg": DAMAGE["gauss 4"](picture), "b.jpg": DAMAGE["moved"](picture)}), DEFAULT)
    soft, moved = found.to_pylist()
    assert soft["reason"].startswith(f"soft everywhere: no detail finer than {soft['edge_px']:.0f} px (edges ")
    assert moved["reason"].startswith("blurred along one direction, as by a moving camera: detail across it has ")
    assert f"{soft['edge_px']:.1f} px wide" in soft["reason"]
    assert moved["anisotropy"] > soft["anisotropy"]
    assert soft["edge_px"] > 4


def test_the_finest_detail_is_told_in_pixels_of_the_image_itself(measured):
    large = cv2.GaussianBlur(cv2.resize(SHARP["coffee"], (1800, 1200), interpolation=cv2.INTER_CUBIC), (0, 0), 8)
    (row,) = detect_blurry(measured({"a.jpg": large}), DEFAULT).to_pylist()
    assert f"no detail finer than {4 * row['edge_px']:.0f} px" in row["reason"]  # measured at a quarter of its size


def test_the_scale_at_which_sharpness_is_judged_does_not_depend_on_the_setting(measured):
    large = cv2.resize(SHARP["coffee"], (1200, 800), interpolation=cv2.INTER_AREA)
    pictures = {"sharp.jpg": large, "soft.jpg": cv2.GaussianBlur(large, (0, 0), 6)}
    usual, full = (score_blurry(measured(pictures, MeasureConfig(measure_px=px))) for px in (288, 4096))
    assert full == pytest.approx(usual, abs=0.1)


def test_a_scale_at_which_blur_cannot_be_seen_is_refused_with_what_is_allowed():
    with pytest.raises(ConfigError, match=r"measure\.measure_px = 128: .*288"):
        load_config(words=["measure.measure_px=128"])


@pytest.mark.skipif(not (SHARED / "photos_more").is_dir(), reason="../shared/data/photos_more is not there")
def test_the_network_was_fitted_on_the_photographs_that_are_there(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    fit_blurry = pytest.importorskip("fit_blurry")
    with np.load(NETWORK_FILE) as file:
        assert str(file["fingerprint"]) == fit_blurry.fingerprint(SHARED)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif("RECOLOR_FIT_TESTS" not in os.environ, reason="takes a quarter of an hour: set RECOLOR_FIT_TESTS=1")
@pytest.mark.skipif(not (SHARED / "photos_more").is_dir(), reason="../shared/data/photos_more is not there")
def test_the_script_reproduces_the_network(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    fit_blurry = pytest.importorskip("fit_blurry")
    monkeypatch.setattr(sys, "argv", ["fit_blurry", "--data", str(SHARED), "--out", str(tmp_path / "again.npz")])
    fit_blurry.main()
    with np.load(NETWORK_FILE) as shipped, np.load(tmp_path / "again.npz") as again:
        assert shipped.files == again.files
        for name in shipped.files:
            assert np.array_equal(shipped[name], again[name]) or np.allclose(shipped[name], again[name], atol=1e-3)
