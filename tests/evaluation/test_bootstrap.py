import numpy as np
import pytest

from recolor.evaluation import bootstrap
from recolor.evaluation.bootstrap import magnitude_interval, normal_interval, percentile_interval, resample_counts


def all_counts(*arguments, **named):
    return np.concatenate(list(resample_counts(*arguments, **named)))


def test_counts_give_the_means_of_a_loop_over_the_same_draws():
    values = np.random.default_rng(0).exponential(size=37)
    drawn = np.random.default_rng(5).integers(0, 37, (200, 37))
    expected = [np.mean([values[image] for image in images]) for images in drawn]
    counts = all_counts(37, 200, seed=5)
    np.testing.assert_allclose(counts @ values / 37, expected, rtol=1e-12)
    assert percentile_interval(counts @ values / 37) == pytest.approx(
        (np.percentile(expected, 2.5), np.percentile(expected, 97.5))
    )


def test_the_size_of_a_block_changes_no_draw(monkeypatch):
    whole = all_counts(11, 50)
    monkeypatch.setattr(bootstrap, "_BLOCK_ENTRIES", 33)
    assert len(next(resample_counts(11, 50))) == 3
    np.testing.assert_array_equal(all_counts(11, 50), whole)
    assert set(whole.sum(axis=1)) == {11}


def test_fewer_resamples_are_the_first_of_more():
    np.testing.assert_array_equal(all_counts(9, 20), all_counts(9, 2000)[:20])


def test_the_interval_holds_the_mean_of_a_skewed_distribution_as_often_as_it_says():
    """400 samples of 150 exponential numbers: of 95% intervals 400 ± 3 binomial deviations are 0.917 .. 0.983."""
    random = np.random.default_rng(1)
    held = 0
    for seed in range(400):
        sample = random.exponential(2.0, size=150)
        low, high = percentile_interval(all_counts(150, 500, seed=seed) @ sample / 150)
        held += low <= 2.0 <= high
    assert 0.91 <= held / 400 <= 0.983


def test_the_interval_of_a_paired_difference_is_narrower_than_that_of_strangers():
    random = np.random.default_rng(2)
    scenes = random.normal(20, 5, 100)
    first, second = scenes + random.normal(0, 0.5, 100), scenes + 0.5 + random.normal(0, 0.5, 100)
    counts, others = all_counts(100), all_counts(100, seed=1)
    low, high = percentile_interval(counts @ (second - first) / 100)
    low_apart, high_apart = percentile_interval(others @ second / 100 - counts @ first / 100)
    assert 0 < low < 0.5 < high < 1
    assert low_apart < 0
    assert high_apart - low_apart > 4 * (high - low)


def test_a_normal_interval_is_about_the_value_whatever_the_resamples_bias():
    resampled = np.random.default_rng(3).normal(50, 2, 10_000)
    low, high = normal_interval(40.0, resampled)
    assert (low + high) / 2 == pytest.approx(40)
    assert high - low == pytest.approx(2 * 1.96 * 2, rel=0.03)


@pytest.mark.parametrize(
    ("signed", "magnitude"),
    [((-3, 1), (0, 3)), ((-1, 3), (0, 3)), ((2, 5), (2, 5)), ((-5, -2), (2, 5)), ((0, 4), (0, 4))],
)
def test_the_interval_of_a_magnitude_reaches_zero_where_the_sign_is_open(signed, magnitude):
    assert magnitude_interval(signed) == magnitude
