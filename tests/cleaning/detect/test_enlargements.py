"""Copies in several sizes: an enlargement is never the one that is kept."""

import cv2
import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.detect.duplicate import compact_measurements, detect_duplicate, judge_enlargements
from recolor.cleaning.detect.enlargements import Photographs, detail_ratio
from recolor.config.settings import DuplicateConfig, MeasureConfig

COFFEE = photographs.coffee()  # 600 x 400


def resized(picture, factor, how=cv2.INTER_AREA):
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=how)


@pytest.fixture
def kept(measured, tmp_path):
    """Measures pictures, and returns the path that is kept of each copy."""

    def judge(pictures, *, gone=()):
        measurements = compact_measurements(measured(pictures), DuplicateConfig())
        for path in gone:
            (tmp_path / path).unlink()
        judged = judge_enlargements(measurements, DuplicateConfig(), Photographs(tmp_path, MeasureConfig()))
        return {row["path"]: row["kept_path"] for row in detect_duplicate(judged, DuplicateConfig()).to_pylist()}

    return judge


@pytest.mark.parametrize("how", [cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4])
@pytest.mark.parametrize("factor", [1.5, 2, 4])
def test_an_enlargement_has_little_detail_beyond_its_original(factor, how):
    grey = cv2.cvtColor(COFFEE, cv2.COLOR_RGB2GRAY)
    ratio, of_factor = detail_ratio(resized(grey, factor, how), grey)
    assert ratio < 1.0 / of_factor**2
    ratio, of_factor = detail_ratio(grey, resized(grey, 1 / factor))
    assert ratio > 1.8 / of_factor**2


@pytest.mark.parametrize("how", [cv2.INTER_CUBIC, cv2.INTER_LINEAR])
def test_what_rounding_adds_is_no_detail(how):
    """A night sky: rounding to whole levels adds as much to the enlargement as the original has."""
    y, x = np.mgrid[:300, :400] / 300
    sky = np.rint(8 + 30 * y + 4 * np.sin(3 * x + 2 * y)).astype(np.uint8)
    ratio, factor = detail_ratio(resized(sky, 2, how), sky)
    assert ratio < 1.0 / factor**2


def test_it_does_not_depend_on_flips_and_rotations():
    grey = cv2.cvtColor(COFFEE, cv2.COLOR_RGB2GRAY)
    small = resized(grey, 0.5)
    ratio, _ = detail_ratio(grey, small)
    assert detail_ratio(grey, small[:, ::-1])[0] == pytest.approx(ratio, rel=0.02)
    assert detail_ratio(grey, np.rot90(small))[0] == pytest.approx(ratio, rel=0.02)


@pytest.mark.parametrize("factor", [1.5, 2, 3])
def test_the_original_of_600_px_is_kept_instead_of_its_enlargement(kept, factor):
    assert kept({"a.jpg": resized(COFFEE, factor, cv2.INTER_CUBIC), "b.jpg": COFFEE}) == {"a.jpg": "b.jpg"}


def test_a_photograph_is_kept_instead_of_its_smaller_copies(kept):
    large = np.tile(np.concatenate([COFFEE, COFFEE[::-1]]), (1, 2, 1))  # 1200 x 800, with detail
    assert kept({"a.jpg": large, "b.jpg": resized(large, 0.5)}) == {"b.jpg": "a.jpg"}


def test_of_several_sizes_the_original_is_kept(kept):
    sizes = {"a.jpg": resized(COFFEE, 3), "b.jpg": resized(COFFEE, 2, cv2.INTER_CUBIC), "c.jpg": COFFEE}
    assert kept({**sizes, "d.jpg": resized(COFFEE, 0.6)}) == dict.fromkeys(["a.jpg", "b.jpg", "d.jpg"], "c.jpg")


@pytest.mark.parametrize("gone", ["a.jpg", "b.jpg"])
def test_files_that_are_gone_are_judged_by_their_measurements(kept, gone):
    assert kept({"a.jpg": resized(COFFEE, 2), "b.jpg": COFFEE}, gone=[gone]) == {"b.jpg": "a.jpg"}


def test_files_that_changed_are_judged_by_their_measurements(measured, tmp_path):
    measurements = compact_measurements(measured({"a.jpg": resized(COFFEE, 2), "b.jpg": COFFEE}), DuplicateConfig())
    (tmp_path / "a.jpg").write_bytes((tmp_path / "b.jpg").read_bytes())
    judged = judge_enlargements(measurements, DuplicateConfig(), Photographs(tmp_path, MeasureConfig()))
    assert judged["real_pixels"].to_pylist() == measurements["real_pixels"].to_pylist()
