import cv2
import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.measure.edges import measure_edges
from recolor.cleaning.measure.sharpness import octaves
from recolor.manifests.schemas import EDGES

ALONG, DOWN, CONTRASTS = slice(0, 4), slice(5, 9), slice(13, 16)  # of an octave


def of_octaves(grey):
    return measure_edges(octaves(grey)).reshape(2, 16)


def coins():
    return photographs.coins()[:256, :256]


def test_a_step_is_measured_along_the_rows_that_cross_it_with_its_height():
    picture = np.full((64, 64), 40, np.uint8)
    picture[:, 24:] = 180  # within blocks
    finest = of_octaves(picture)[0]
    assert finest[3] == pytest.approx(140 / 148)  # of 140 and the noise
    assert finest[8] == 0.0
    assert (finest[12], finest[15]) == (140, 140)


def test_an_edge_that_is_spread_over_more_pixels_is_less_steep():
    steepness = [of_octaves(cv2.GaussianBlur(coins(), (0, 0), sigma))[:, [3, 8]] for sigma in (0.5, 1, 2, 4, 8)]
    assert (np.diff(steepness, axis=0) < 0).all()
    assert steepness[0].min() > 0.4
    assert steepness[-1].max() < 0.3


def test_fog_leaves_edges_as_steep_as_they_are():
    fog = (coins() * 0.4 + 140).astype(np.uint8)
    assert of_octaves(fog)[:, [3, 8]] == pytest.approx(of_octaves(coins())[:, [3, 8]], abs=0.1)


def test_edges_of_a_turned_picture_are_those_of_the_other_direction():
    upright, turned = of_octaves(coins()), of_octaves(np.ascontiguousarray(coins().T))
    assert upright[:, ALONG] == pytest.approx(turned[:, DOWN], abs=0.05)  # steps from the block to the left count too
    assert np.array_equal(upright[:, CONTRASTS], turned[:, CONTRASTS])


def test_every_third_row_of_blocks_of_a_large_picture_gives_about_the_numbers_of_all():
    large = cv2.cvtColor(photographs.astronaut(), cv2.COLOR_RGB2GRAY)
    all_of_it = np.mean([of_octaves(large[top : top + 272])[0] for top in (0, 240)], axis=0)
    assert of_octaves(large)[0][[3, 4, 8, 9]] == pytest.approx(all_of_it[[3, 4, 8, 9]], abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (17, 33), (300, 1)])
def test_pictures_of_any_size_have_edges(shape):
    numbers = of_octaves(np.full(shape, 7, np.uint8))
    assert numbers.size == EDGES
    assert (numbers == 0).all()
