import cv2
import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.measure.frame import without_frame
from recolor.demo.copies import jpeg

GREY = cv2.cvtColor(photographs.coffee(), cv2.COLOR_RGB2GRAY)


def compressed(picture):
    """The picture as it is decoded from a JPEG."""
    return cv2.imdecode(np.frombuffer(jpeg(picture), np.uint8), cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("widths", [((20, 20), (20, 20)), ((45, 45), (0, 0)), ((0, 0), (60, 60))])
def test_a_frame_and_bars_are_cut_off_a_compressed_picture(level, widths):
    found = without_frame(compressed(np.pad(GREY, widths, constant_values=level)))
    assert np.abs(np.subtract(found.shape, GREY.shape)).max() <= 4


def test_a_picture_without_a_frame_is_returned_whole():
    for picture in (photographs.coffee(), photographs.rocket(), photographs.moon(), photographs.hubble_deep_field()):
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        assert without_frame(grey).shape == grey.shape


def test_a_white_sky_inside_a_white_frame_stays():
    sky = GREY.copy()
    sky[:150] = 255
    found = without_frame(np.pad(sky, 20, constant_values=255))
    assert np.abs(np.subtract(found.shape, GREY.shape)).max() <= 2


def test_a_moon_in_a_black_sky_and_a_plain_picture_have_no_frame():
    night = cv2.circle(np.zeros((300, 400), np.uint8), (200, 150), 30, 220, -1)
    assert without_frame(night).shape == night.shape
    plain = np.full((300, 400), 90, np.uint8)
    assert without_frame(plain).shape == plain.shape
