import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from recolor.evaluation.distributions import fid, kid, kid_terms


def features(images, width, seed, shift=0.0):
    random = np.random.default_rng(seed)
    return random.normal(size=(images, width)) @ random.normal(size=(width, width)) / width**0.5 + shift


def reference_fid(first, second):
    """FID by the formula of Heusel et al. 2017, in float64."""
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1])
    difference = first.mean(axis=0) - second.mean(axis=0)
    return difference @ difference + np.trace(covariances[0] + covariances[1] - 2 * np.real(root))


def reference_mmd(first, second):
    """Gretton et al. 2012, eq. 4, with KID's kernel, pair by pair."""
    images, width = first.shape

    def kernel(x, y):
        return (x @ y / width + 1) ** 3

    total = 0.0
    for i in range(images):
        for j in range(images):
            if i != j:
                total += kernel(first[i], first[j]) + kernel(second[i], second[j])
                total -= kernel(first[i], second[j]) + kernel(first[j], second[i])
    return total / (images * (images - 1))


@pytest.mark.parametrize(("images", "width"), [(200, 24), (25, 24), (24, 24), (12, 60)])
def test_fid_is_that_of_the_matrix_root(images, width):
    first, second = features(images, width, 1), features(images, width, 2, shift=0.3)
    expected = reference_fid(first, second)
    assert fid(first, second, np.ones(images)) == pytest.approx(expected, rel=1e-5)
    assert expected > 1


def test_fid_is_that_of_torch_fidelity():
    # Imports torchvision, which takes seconds that every process that collects the tests would pay.
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric  # noqa: PLC0415

    first, second = features(300, 32, 3), features(300, 32, 4, shift=0.2)
    statistics = [fid_features_to_statistics(torch.from_numpy(one)) for one in (first, second)]
    expected = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert fid(first, second, np.ones(300)) == pytest.approx(expected, rel=1e-6)


def test_fid_and_kid_of_images_and_themselves_are_zero():
    same = features(40, 50, 5)
    assert fid(same, same, np.ones(40)) == pytest.approx(0, abs=1e-9)
    assert kid(kid_terms(same, same), np.ones((1, 40)))[0] == pytest.approx(0, abs=1e-12)


def test_fid_of_drawn_images_is_that_of_the_images_repeated():
    first, second = features(20, 30, 6), features(20, 30, 7, shift=0.5)
    counts = np.bincount(np.random.default_rng(8).integers(0, 20, 20), minlength=20).astype(float)
    drawn = np.repeat(np.arange(20), counts.astype(int))
    assert fid(first, second, counts) == pytest.approx(reference_fid(first[drawn], second[drawn]), rel=1e-5)


def test_kid_is_that_of_every_pair_of_images():
    from torch_fidelity.metric_kid import mmd2  # noqa: PLC0415 - as above

    first, second = features(18, 12, 9), features(18, 12, 10, shift=0.4)
    expected = reference_mmd(first, second)
    assert kid(kid_terms(first, second), np.ones((1, 18)))[0] == pytest.approx(expected, rel=1e-10)
    kernels = [(x @ y.T / 12 + 1) ** 3 for x, y in ((first, first), (first, second), (second, second))]
    assert mmd2(*kernels, mmd_est="u-statistic") == pytest.approx(expected, rel=1e-10)
    assert mmd2(*kernels) == pytest.approx(expected, rel=0.1)  # that of two unrelated sets


def test_kid_of_drawn_images_leaves_out_each_with_itself():
    first, second = features(7, 5, 11), features(7, 5, 12)
    counts = np.array([2.0, 0, 1, 3, 0, 1, 0])
    drawn = np.repeat(np.arange(7), counts.astype(int))
    terms = kid_terms(first, second)
    expected = np.mean([terms[i, j] for i in drawn for j in drawn if i != j])
    assert kid(terms, counts[None])[0] == pytest.approx(expected, rel=1e-10)


def test_kid_is_unbiased_for_images_that_are_pairs_and_so_are_its_resamples():
    """Coloured images are photographs plus noise that does not change the distribution: the true distance is 0."""
    random = np.random.default_rng(13)
    values, resampled = [], []
    for _ in range(200):
        truth = random.normal(size=(30, 8))
        coloured = 0.8 * truth + 0.6 * random.normal(size=(30, 8))
        terms = kid_terms(coloured, truth)
        counts = np.stack([np.bincount(row, minlength=30) for row in random.integers(0, 30, (20, 30))]).astype(float)
        values.append(kid(terms, np.ones((1, 30)))[0])
        resampled.append(kid(terms, counts).mean())
    for means in (values, resampled):
        assert abs(np.mean(means)) < 3 * np.std(means) / 200**0.5
    assert np.std(values) > 0


def test_resamples_of_one_image_alone_are_finite():
    first, second = features(2, 4, 16), features(2, 4, 17)
    counts = np.array([[2.0, 0.0], [1.0, 1.0]])
    assert np.isfinite(kid(kid_terms(first, second), counts)).all()
    assert np.isfinite(fid(first, second, counts[0]))
