import cv2
import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.detect.real_detail import real_pixels

SHARP = cv2.resize(photographs.coffee(), (300, 200), interpolation=cv2.INTER_AREA)


def enlarged(times):
    return cv2.resize(SHARP, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)


def test_a_sharp_photograph_has_as_many_as_it_has_pixels(measured):
    assert real_pixels(measured({"a.jpg": SHARP})).tolist() == [300 * 200]


@pytest.mark.parametrize("times", [2, 4])
def test_an_enlargement_has_no_more_than_its_original(measured, times):
    original, copy = real_pixels(measured({"a.jpg": SHARP, "b.jpg": enlarged(times)})).tolist()
    assert copy < original


def test_a_frame_holds_no_detail(measured):
    framed = np.pad(SHARP, ((20, 20), (20, 20), (0, 0)), constant_values=255)
    original, copy = real_pixels(measured({"a.jpg": SHARP, "b.jpg": framed})).tolist()
    assert 0.8 * original < copy < original


def test_an_image_that_was_not_decoded_has_none(measured):
    assert np.isnan(real_pixels(measured({"a.jpg": b"broken"}))).all()
