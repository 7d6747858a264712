import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor.dataset import sampler as order
from recolor.dataset.sampler import WHOLE, Share, batch_rows
from recolor.errors import ConfigError, InputError

SHARES = st.tuples(st.integers(1, 6), st.integers(1, 6))  # processes, images of each


@given(st.integers(1, 60), st.integers(1, 40), st.integers(-(2**63), 2**63 - 1))
def test_every_row_comes_once_an_epoch(count, batch_images, seed):
    steps = -(-3 * count // batch_images)
    stream = np.concatenate([batch_rows(count, batch_images, seed, step) for step in range(steps)])
    assert stream.dtype == np.int64
    assert len(stream) == steps * batch_images
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_the_order_does_not_depend_on_the_batch_size():
    small = np.concatenate([batch_rows(50, 4, 1, step) for step in range(30)])
    large = np.concatenate([batch_rows(50, 12, 1, step) for step in range(10)])
    np.testing.assert_array_equal(small, large)


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(batch_rows(40, 40, seed, epoch)) for seed in (-1, 0, 1, 2**40) for epoch in range(5)}
    assert len(orders) == 20


def test_the_rows_of_a_step_do_not_depend_on_what_was_asked_before():
    expected = batch_rows(1000, 32, 3, 77)
    order._permutation.cache_clear()
    for step in (500, 3, 78):
        batch_rows(1000, 32, 3, step)
    np.testing.assert_array_equal(batch_rows(1000, 32, 3, 77), expected)


def test_the_order_is_the_same_in_every_version():
    assert batch_rows(8, 8, 0, 0).tolist() == [3, 6, 4, 0, 7, 5, 2, 1]


def test_no_rows_are_refused():
    with pytest.raises(InputError):
        batch_rows(0, 4, 0, 0)


@given(SHARES)
def test_every_place_of_a_batch_is_in_one_share(sizes):
    of, images = sizes
    positions = [Share(rank, of).positions(of * images) for rank in range(of)]
    assert {(len(one), one.dtype) for one in positions} == {(images, np.dtype(np.int64))}
    np.testing.assert_array_equal(np.sort(np.concatenate(positions)), np.arange(of * images))
    assert all((one % of == rank).all() and (np.diff(one) > 0).all() for rank, one in enumerate(positions))


def test_one_process_has_every_place():
    assert Share() == WHOLE == Share(0, 1)
    np.testing.assert_array_equal(WHOLE.positions(7), np.arange(7))


@given(SHARES, st.integers(1, 60), st.integers(0, 30))
def test_the_rows_of_a_share_are_those_of_its_places(sizes, count, step):
    of, images = sizes
    whole = batch_rows(count, of * images, 3, step)
    for rank in range(of):
        share = Share(rank, of)
        np.testing.assert_array_equal(
            batch_rows(count, of * images, 3, step, share), whole[share.positions(of * images)]
        )


@pytest.mark.parametrize(("rank", "of"), [(-1, 2), (2, 2), (0, 0), (0, -1)])
def test_a_rank_that_no_process_has_is_refused(rank, of):
    with pytest.raises(ConfigError, match="Allowed: ranks"):
        Share(rank, of)


def test_unequal_shares_are_refused_with_what_is_allowed():
    with pytest.raises(ConfigError, match=r"batch_images = 10.*multiples of 4"):
        Share(1, 4).positions(10)
    with pytest.raises(ConfigError, match="multiples of 4"):
        batch_rows(100, 10, 0, 0, Share(1, 4))
