import numpy as np
import pytest
from PIL import Image

from recolor.cleaning.detect import ISSUES
from recolor.demo.photographs import COLOUR_CROPS, GREY_PHOTOGRAPHS, cut_photograph, photograph_path
from recolor.errors import InputError


@pytest.mark.parametrize("crop", COLOUR_CROPS, ids=lambda crop: f"{crop.name}-{crop.left_px}-{crop.top_px}")
def test_a_crop_lies_within_its_photograph_and_is_large_enough(crop):
    picture = cut_photograph(crop)
    assert picture.shape[:2] == (round(crop.height_px * crop.scale), round(crop.width_px * crop.scale))
    assert min(picture.shape[:2]) >= 256
    assert np.ptp(picture.astype(int), axis=2).mean() > 5


@pytest.mark.parametrize(("name", "issues"), GREY_PHOTOGRAPHS)
def test_a_grey_photograph_has_the_faults_that_the_plan_states(name, issues):
    with Image.open(photograph_path(name)) as image:
        width_px, height_px = image.size
        assert image.mode == "L"
    assert set(issues) <= set(ISSUES)
    assert ("low_resolution" in issues) == (min(width_px, height_px) < 256)
    assert ("extreme_aspect" in issues) == (not 0.5 <= width_px / height_px <= 2.0)


def test_a_missing_photograph_is_named():
    with pytest.raises(InputError, match=r"nowhere\.png"):
        photograph_path("nowhere.png")
