import numpy as np
import pytest
from skimage import color
from skimage import data as photographs

from recolor.cleaning.measure.colour import COLOUR_PX, measure_colours
from recolor.cleaning.measure.sharpness import octaves, square_copy
from recolor.cleaning.measure.tones import PERCENTILES, TONES
from recolor.manifests.schemas import COLOUR_TONES

COFFEE = square_copy(octaves(photographs.coffee()), COLOUR_PX)


def tones_of(square):
    """Channel percentiles [3, 7], greyest colours [12], coarse picture [4, 4, 3]."""
    tones = np.frombuffer(measure_colours(square[None])["colour_tones"][0], "<f4")
    channels, greys, cells = np.split(tones, [21, 33])
    return channels.reshape(3, 7), greys, cells.reshape(4, 4, 3)


def test_the_schema_knows_how_many_numbers_there_are():
    assert COLOUR_TONES == TONES


def test_the_percentiles_are_those_of_each_channel():
    expected = np.percentile(COFFEE.reshape(-1, 3), PERCENTILES, axis=0, method="lower").T
    np.testing.assert_array_equal(tones_of(COFFEE)[0], expected)


def test_the_greyest_colours_agree_with_sorting_by_lightness():
    lab = color.rgb2lab(COFFEE).reshape(-1, 3)
    chroma = np.linalg.norm(lab[:, 1:], axis=1)[np.argsort(lab[:, 0], kind="stable")].reshape(12, -1)
    expected = np.sort(chroma, axis=1)[:, chroma.shape[1] // 10]
    np.testing.assert_allclose(tones_of(COFFEE)[1], expected, rtol=0.05, atol=0.2)  # equal lightness, in either order


def test_the_coarse_picture_is_the_mean_of_each_cell():
    cells = tones_of(COFFEE)[2]
    lab = color.rgb2lab(COFFEE)
    assert cells[0, 3] == pytest.approx(lab[:12, 36:].mean(axis=(0, 1)), abs=0.01)
    assert cells[2, 1] == pytest.approx(lab[24:36, 12:24].mean(axis=(0, 1)), abs=0.01)
