import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recolor.cleaning.windows import WINDOWS

TOLERANCE = 0.031  # of a side


@given(st.floats(0.0, 0.3), st.floats(0.0, 1.0), st.booleans())
def test_every_cut_of_one_side_by_up_to_30_percent_is_near_a_window_or_the_whole(cut, place, down):
    span = (place * cut, 1.0 - (1.0 - place) * cut)
    wanted = np.array([0.0, 1.0, *span] if down else [*span, 0.0, 1.0])
    candidates = np.concatenate([WINDOWS, [[0.0, 1.0, 0.0, 1.0]]])
    assert np.abs(candidates - wanted).max(axis=1).min() <= TOLERANCE


def test_windows_differ_and_lie_within_the_picture():
    assert len(np.unique(WINDOWS, axis=0)) == len(WINDOWS)
    assert WINDOWS.min() >= 0.0
    assert WINDOWS.max() <= 1.0
    assert (WINDOWS[:, 1::2] > WINDOWS[:, ::2]).all()
