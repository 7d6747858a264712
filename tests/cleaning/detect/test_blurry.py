import cv2
import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.detect.blurry import detect_blurry, score_blurry
from recolor.config.settings import BlurryConfig

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
