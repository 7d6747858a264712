import cv2
import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.detect.alignment import similarities, structured_shares, turned
from recolor.cleaning.measure.hashes import HASH_PX, make_thumbnails
from recolor.cleaning.measure.sharpness import octaves, square_copy
from recolor.cleaning.symmetries import apply_symmetry
from recolor.manifests.schemas import SYMMETRIES

WHOLE = np.array([[0.0, 1.0, 0.0, 1.0]])


def thumbnail(picture):
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return make_thumbnails(square_copy(octaves(grey), HASH_PX)[None]).reshape(1, 24, 24)


def similarity(one, other, window=WHOLE):
    return float(similarities(thumbnail(one), thumbnail(other), window)[0])


@pytest.mark.parametrize("move", [0.0, 0.02, -0.02])
def test_a_crop_is_like_the_window_that_it_shows_and_one_near_it(move):
    whole = photographs.coffee()
    part = whole[40:360, 60:540]  # rows 0.1 to 0.9 of 400, columns 0.1 to 0.9 of 600
    window = np.array([[0.1, 0.9, 0.1, 0.9]]) + move
    assert similarity(whole, part, window) > 0.85
    assert similarity(photographs.chelsea(), part, window) < 0.4


def test_exposure_gamma_and_colour_do_not_matter():
    whole = photographs.coffee()
    for graded in (
        np.clip(whole * 1.25, 0, 255),
        255 * (whole / 255) ** 0.7,
        np.clip(whole * np.array([1.15, 1.0, 0.8]), 0, 255),
    ):
        assert similarity(whole, graded.astype(np.uint8)) > 0.85


def test_different_photographs_are_not_alike():
    pictures = [photographs.coffee(), photographs.chelsea(), photographs.astronaut(), photographs.rocket()]
    for at, one in enumerate(pictures):
        for other in pictures[:at]:
            assert similarity(one, other) < 0.4


def test_an_unknown_thumbnail_counts_as_no_difference():
    unknown = np.zeros((1, 24, 24), np.uint8)
    assert similarities(unknown, thumbnail(photographs.coffee()), WHOLE).tolist() == [1.0]


def test_thumbnails_are_turned_by_the_symmetry_of_that_number():
    one = thumbnail(photographs.coffee())[0]
    found = turned(np.repeat(one[None], 8, axis=0), np.arange(8))
    for number, name in enumerate(SYMMETRIES):
        assert (found[number] == apply_symmetry(one, name)).all()


def test_a_disc_in_a_plain_sky_has_little_structure_and_a_photograph_much():
    disc = cv2.circle(np.full((300, 300), 20, np.uint8), (140, 120), 18, 230, -1)
    shares = structured_shares(np.concatenate([thumbnail(disc), thumbnail(photographs.coffee())]))
    assert shares[0] < 0.25
    assert shares[1] > 0.5


def test_two_parts_are_alike_where_they_overlap_and_nowhere_else():
    whole = photographs.coffee()
    left, right = whole[:, :480], whole[:, 120:]  # 600 columns
    shared, of_right = np.array([[0.25, 1.0, 0.0, 1.0]]), np.array([[0.0, 0.75, 0.0, 1.0]])
    assert similarities(thumbnail(left), thumbnail(right), shared, of_right)[0] > 0.85
    assert similarities(thumbnail(left), thumbnail(right), of_right, shared)[0] < 0.5
    assert similarities(thumbnail(left), thumbnail(photographs.chelsea()), shared, of_right)[0] < 0.5
