import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.detect import monochrome
from recolor.cleaning.detect.monochrome import detect_monochrome, score_monochrome
from recolor.config.settings import MonochromeConfig

DEFAULT = MonochromeConfig()


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
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (*grey().shape, 3)), (0, 0), 6.0)
    noisy = (grey()[..., None] * 0.15 + 100 + 0.8 * noise / noise.std()).clip(0, 255).astype(np.uint8)
    table = measured({"noisy.jpg": noisy})
    assert len(detect_monochrome(table, DEFAULT)) == 1
    monkeypatch.setattr(monochrome, "_GREY_CHROMA", 0.0)  # by what lightness explains alone, it is not grey
    assert not len(detect_monochrome(table, DEFAULT))
