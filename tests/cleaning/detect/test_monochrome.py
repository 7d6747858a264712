import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from cleaning import half_of
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.detect import monochrome
from recolor.cleaning.detect.monochrome import detect_monochrome, score_monochrome
from recolor.config.settings import MonochromeConfig

DEFAULT = MonochromeConfig()
ROOT = Path(__file__).parents[3]
SHARED = ROOT / "../shared/data"


def grey():
    return np.asarray(Image.fromarray(photographs.coffee()).convert("L")).astype(float)


def toned(low, high):
    """Grey mapped to the line between two colours."""
    share = grey()[..., None] / 255
    return ((1 - share) * low + share * np.array(high)).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.repeat(grey()[..., None], 3, axis=2).astype(np.uint8), id="grey in RGB"),
        pytest.param(toned(np.array([20, 10, 0]), [255, 240, 200]), id="sepia"),
        pytest.param(toned(np.array([10, 20, 90]), [250, 245, 200]), id="duotone"),
        pytest.param(toned(np.array([0, 0, 0]), [190, 220, 255]), id="tinted"),
        pytest.param(np.full((300, 300, 3), (90, 120, 60), np.uint8), id="flat"),
    ],
)
def test_pictures_without_colour_of_their_own_are_found(measured, picture):
    rows = detect_monochrome(measured({"a.jpg": picture, "b.jpg": photographs.coffee()}), DEFAULT).to_pylist()
    assert [row["path"] for row in rows] == ["a.jpg"]


def test_the_moon_in_a_blue_sky_is_kept(measured):
    """Grey and one hue, each at a lightness of its own, as in a duotone."""
    y, x = np.mgrid[0:1:256j, 0:1:256j]
    sky = np.stack([20 + 30 * y, 60 + 60 * y, 120 + 80 * y], axis=-1)
    noise = cv2.GaussianBlur(np.random.default_rng(5).normal(0, 1, sky.shape[:2]), (0, 0), 4.0)[..., None]
    moon = ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.004)[..., None]
    picture = np.where(moon, 200 + 200 * noise, sky + 20 * noise).clip(0, 255).astype(np.uint8)
    assert not len(detect_monochrome(measured({"moon.jpg": picture}), DEFAULT))


@pytest.mark.skipif(not (SHARED / "photos_256").is_dir(), reason="../shared/data/photos_256 is not there")
def test_photographs_of_one_hue_are_kept(measured):
    """Fog, dunes, empty skies and nights, of the half that the network was not fitted to."""
    with (ROOT / "tools/scenes.csv").open(encoding="utf-8", newline="") as file:
        scenes = [row for row in csv.DictReader(file) if row["set"] == "photos_256"]
    chosen = [row["file"] for row in scenes if row["kind"] in {"fog", "dunes", "plain_sky", "night", "blue_hour"}]
    chosen = sorted({file for file in chosen if half_of(Path(file).stem) == "score"})
    assert len(chosen) > 80
    files = {file: (SHARED / "photos_256/files" / file).read_bytes() for file in chosen}
    taken = detect_monochrome(measured(files), DEFAULT)
    assert taken["path"].to_pylist() == []


def test_pale_pictures_are_kept(measured):
    pale = (photographs.coffee().astype(float) * 0.12 + grey()[..., None] * 0.5 + 90).clip(0, 255).astype(np.uint8)
    table = measured({"pale.jpg": pale})
    assert table["chroma_mean"][0].as_py() < 6
    assert not len(detect_monochrome(table, DEFAULT))


def test_the_threshold_decides_and_undecoded_images_are_not_judged(measured):
    table = measured({"a.jpg": photographs.coffee(), "b.jpg": b"broken"})
    score = score_monochrome(table)
    assert score[1] == 1.0
    assert not len(detect_monochrome(table, MonochromeConfig(threshold=float(score[0]))))
    assert len(detect_monochrome(table, MonochromeConfig(threshold=float(score[0]) + 1e-9))) == 1


def test_pale_noise_on_a_grey_picture_is_no_colour(measured, monkeypatch):
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (*grey().shape, 3)), (0, 0), 20.0)
    noisy = (grey()[..., None] * 0.05 + 100 + 0.8 * noise / noise.std()).clip(0, 255).astype(np.uint8)
    table = measured({"noisy.jpg": noisy})
    assert len(detect_monochrome(table, DEFAULT)) == 1
    monkeypatch.setattr(monochrome, "_GREY_CHROMA", 0.0)  # by what lightness explains alone, it is not grey
    assert not len(detect_monochrome(table, DEFAULT))
