"""Windows of two pictures that may be the same part of one, against a search of all pairs."""

import numpy as np
import pytest

from recolor.cleaning.detect.overlaps import overlaps
from recolor.cleaning.windows import WINDOWS

ACROSS = [at for at, (_, _, top, bottom) in enumerate(WINDOWS) if (top, bottom) == (0, 1)]
DOWN = [at for at, (left, right, _, _) in enumerate(WINDOWS) if (left, right) == (0, 1)]


def may_be_one_part(window, other):
    """Cut in width and in height; or both in width or both in height, at opposite ends."""
    first, second = WINDOWS[window], WINDOWS[other]
    beside = window in ACROSS and other in ACROSS and first[1] == 1 and second[0] == 0
    above = window in DOWN and other in DOWN and first[3] == 1 and second[2] == 0
    return (window in ACROSS and other in DOWN) or beside or above


def shape(window, aspect):
    left, right, top, bottom = window
    return np.log(aspect * (right - left) / (bottom - top))


@pytest.mark.parametrize("distance", [0, 4, 8])
def test_pairs_of_windows_of_one_shape_are_those_of_brute_force(distance):
    rng = np.random.default_rng(distance)
    few = rng.integers(0, 2**64, 12, np.uint64)  # so that many windows are near each other
    ones, others = (
        rng.choice(few, (count, len(WINDOWS))) ^ (np.uint64(1) << rng.integers(0, 64, (count, len(WINDOWS)), np.uint64))
        for count in (9, 7)
    )
    aspects, other_aspects = rng.choice([1.0, 1.25, 4 / 3, 1.5, 1.6, 16 / 9], 9), rng.uniform(0.6, 1.9, 7)
    expected = set()
    for one, window, other, other_window in np.ndindex(9, len(WINDOWS), 7, len(WINDOWS)):
        if not may_be_one_part(window, other_window):
            continue
        if abs(shape(WINDOWS[window], aspects[one]) - shape(WINDOWS[other_window], other_aspects[other])) > 0.04:
            continue
        if np.bitwise_count(ones[one, window] ^ others[other, other_window]) <= distance:
            expected.add((one, window, other, other_window))
    found = [
        tuple(row)
        for some in overlaps(ones, aspects, others, other_aspects, distance)
        for row in np.stack(some, axis=1).tolist()
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert expected or distance == 0


def test_pictures_of_one_aspect_ratio_that_were_cut_in_width_and_in_height_are_not_compared():
    alike = np.zeros((2, len(WINDOWS)), np.uint64)
    found = [pair for some in overlaps(alike, np.ones(2), alike, np.ones(2), 0) for pair in zip(some[1], some[3])]
    assert found
    assert not [pair for pair in found if pair[0] in ACROSS and pair[1] in DOWN]


def test_no_pictures_have_no_overlaps():
    none = np.zeros((0, len(WINDOWS)), np.uint64)
    assert not list(overlaps(none, np.ones(0), none, np.ones(0), 8))


def test_an_impossible_aspect_ratio_in_a_manifest_does_not_keep_the_search_from_ending():
    alike = np.zeros((5, len(WINDOWS)), np.uint64)
    aspects = np.array([0.0, np.inf, -1.0, np.nan, 1.5])
    found = {
        (int(one), int(other)) for some in overlaps(alike, aspects, alike, aspects, 0) for one, other in zip(*some[::2])
    }
    assert (4, 4) in found
    assert not {pair for pair in found if 4 in pair and pair != (4, 4)}
