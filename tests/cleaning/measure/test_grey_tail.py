import io

import numpy as np
import pytest
from PIL import Image, ImageFile
from skimage import data as photographs

from recolor.cleaning.measure.grey_tail import measure_grey_tail


def test_it_is_the_share_of_the_picture_that_is_mid_grey_from_an_edge_on():
    rgb = photographs.coffee()[:384, :384].copy()
    assert measure_grey_tail(rgb) == 0
    rgb[96:] = 128
    assert measure_grey_tail(rgb) == pytest.approx(0.75)
    assert measure_grey_tail(rgb.transpose(1, 0, 2)[:, ::-1].copy()) == pytest.approx(0.75)
    assert measure_grey_tail(np.full((9, 9, 3), 128, np.uint8)) == 1


@pytest.mark.parametrize("saved", [("JPEG", {"quality": 75}), ("JPEG", {"quality": 95}), ("PNG", {})])
@pytest.mark.parametrize("sides", ["all", "above and below", "left and right", "left and below", "above and right"])
def test_a_mat_on_several_sides_is_none(sides, saved):
    rgb = photographs.coffee()[:384, :576]
    above, below = (40 if sides == "all" or side in sides else 0 for side in ("above", "below"))
    left, right = (40 if sides == "all" or side in sides else 0 for side in ("left", "right"))
    framed = np.pad(rgb, ((above, below), (left, right), (0, 0)), constant_values=128)
    file = io.BytesIO()
    Image.fromarray(framed).save(file, saved[0], **saved[1])
    with Image.open(file) as picture:
        assert measure_grey_tail(np.asarray(picture.convert("RGB"))) == 0


@pytest.mark.parametrize("turns", range(4))
def test_a_mat_that_ends_in_a_line_that_is_not_between_blocks_is_none(turns):
    rgb = photographs.coffee()[:380].copy()
    assert measure_grey_tail(np.rot90(np.pad(rgb, ((0, 60), (0, 0), (0, 0)), constant_values=128), turns)) == 0
    rgb[372:380, 300:] = 128  # the decode broke off in that row of blocks
    broken = np.pad(rgb, ((0, 60), (0, 0), (0, 0)), constant_values=128)
    assert measure_grey_tail(np.rot90(broken, turns)) == pytest.approx(60 / 440)


def test_a_sky_that_turns_to_mid_grey_is_none():
    rgb = photographs.coffee().copy()
    sky = np.linspace(128, 100, 200).round().astype(np.uint8)  # flat for tens of rows, then darker by and by
    rgb[:200] = sky[:, None, None]
    assert measure_grey_tail(rgb) == 0


@pytest.mark.parametrize("saved", [("JPEG", {"quality": 75}), ("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {})])
@pytest.mark.parametrize("percent", [5, 10, 30])
def test_it_is_found_in_pictures_saved_after_a_decode_that_broke_off(saved, percent, monkeypatch):
    for name in ("coffee", "astronaut", "rocket"):
        whole, broken = io.BytesIO(), io.BytesIO()
        Image.fromarray(getattr(photographs, name)()).save(whole, "JPEG", quality=90)
        cut = whole.getvalue()[: len(whole.getvalue()) * (98 - percent) // 100]
        with monkeypatch.context() as patch:
            patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
            Image.open(io.BytesIO(cut)).convert("RGB").save(broken, saved[0], **saved[1])
        with Image.open(broken) as picture:
            assert measure_grey_tail(np.asarray(picture.convert("RGB"))) > 0.01, name
