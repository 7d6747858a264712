import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photographs

from recolor.cleaning.measure.sharpness import halve, octaves, square_copy
from recolor.cleaning.measure.sharpness import measure_sharpness as measure_octaves
from recolor.manifests.schemas import SHARPNESS


def measure_sharpness(grey):
    return measure_octaves(octaves(grey))


def grey():
    return cv2.cvtColor(photographs.rocket(), cv2.COLOR_RGB2GRAY)


def test_detail_is_the_energy_of_second_differences_along_a_line_in_every_other_row():
    picture = grey()[:60, :80].astype(float)
    numbers = measure_sharpness(picture.astype(np.uint8))
    for angle, (down, right) in {0: (0, 1), 45: (-1, 1), 90: (1, 0), 135: (1, 1)}.items():
        inside = [(y, x) for y in range(abs(down), 60 - abs(down), 2) for x in range(right, 80 - right)]
        second = [picture[y - down, x - right] - 2 * picture[y, x] + picture[y + down, x + right] for y, x in inside]
        assert numbers[f"detail_{angle}_0"] == pytest.approx(np.mean(np.square(second)), rel=1e-9)


@pytest.mark.parametrize("angle", [0, 45, 90, 135])
def test_a_moved_camera_takes_detail_along_its_way_most(angle):
    noise = np.random.default_rng(1).integers(0, 256, (200, 200)).astype(np.uint8)
    down, right = {0: (0, 1), 45: (-1, 1), 90: (1, 0), 135: (1, 1)}[angle]
    kernel = np.zeros((9, 9), np.float32)
    for step in range(-4, 5):
        kernel[4 + step * down, 4 + step * right] = 1 / 9
    moved = measure_sharpness(cv2.filter2D(noise, -1, kernel))
    least = min((0, 45, 90, 135), key=lambda other: moved[f"detail_{other}_0"])
    assert least == angle


def test_blur_takes_the_finest_octave_first():
    sharp, soft = measure_sharpness(grey()), measure_sharpness(cv2.GaussianBlur(grey(), (0, 0), 1.5))
    lost = [soft[f"detail_0_{octave}"] / sharp[f"detail_0_{octave}"] for octave in range(4)]
    assert lost[0] < 0.1
    assert lost == sorted(lost)


def test_fog_takes_from_all_octaves_alike():
    sharp, fog = measure_sharpness(grey()), measure_sharpness((grey() * 0.3 + 150).astype(np.uint8))
    lost = [fog[f"detail_90_{octave}"] / sharp[f"detail_90_{octave}"] for octave in range(4)]
    assert max(lost) / min(lost) < 1.6


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (17, 33)])
def test_any_size_can_be_measured(shape):
    numbers = measure_sharpness(np.full(shape, 7, np.uint8))
    assert list(numbers) == [column.name for column in SHARPNESS]
    assert set(numbers.values()) == {0.0}


def test_of_large_pictures_every_fourth_row_gives_about_the_detail_of_all():
    picture = cv2.cvtColor(photographs.astronaut(), cv2.COLOR_RGB2GRAY)
    second = np.diff(picture.astype(float), 2, axis=1)
    assert measure_sharpness(picture)["detail_0_0"] == pytest.approx(np.square(second).mean(), rel=0.05)


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
