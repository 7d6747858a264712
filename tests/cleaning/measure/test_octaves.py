import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recolor.cleaning.measure.octaves import halve, octaves, square_copy


def means(picture, rows, columns):
    """Area means in whole numbers of pixels, in double precision."""
    blocks = picture.astype(float).reshape(rows, len(picture) // rows, columns, picture.shape[1] // columns, -1)
    return blocks.mean(axis=(1, 3)).reshape(rows, columns, *picture.shape[2:])


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_halving_takes_means_of_2x2_and_leaves_an_odd_line_out(height, width, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows, columns = max(1, height // 2), max(1, width // 2)
    expected = means(picture[: 2 * rows, : 2 * columns], rows, columns)
    assert halve(picture).shape == expected.shape
    assert np.abs(halve(picture) - expected).max() <= 0.5 + 1e-9


def test_octaves_are_four_sizes_down_to_one_pixel():
    assert [one.shape for one in octaves(np.zeros((9, 70), np.uint8))] == [(9, 70), (4, 35), (2, 17), (1, 8)]
    assert [one.shape for one in octaves(np.zeros((1, 1, 3), np.uint8))] == [(1, 1, 3)] * 4


def test_a_square_copy_has_the_area_means_of_the_whole_picture():
    picture = np.random.default_rng(1).integers(0, 256, (384, 768, 3), dtype=np.uint8)
    copy = square_copy(octaves(picture), 48)
    assert copy.shape == (48, 48, 3)
    assert np.abs(copy - means(picture, 48, 48)).max() <= 2  # rounded to bytes at each octave


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 7), (47, 4000)])
def test_any_size_has_a_square_copy(shape):
    assert (square_copy(octaves(np.full(shape, 9, np.uint8)), 48) == np.full((48, 48), 9)).all()
