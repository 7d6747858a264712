import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from recolor.models.ab_bins import NEAREST, AbBins, ab_bin_centres, class_weights


@pytest.fixture(scope="module")
def bins():
    return AbBins()


def _in_gamut(count, seed):
    rgb = np.random.default_rng(seed).random((count, 3))
    return torch.tensor(rgb2lab(rgb[None])[0, :, 1:], dtype=torch.float32)


def test_every_srgb_colour_lies_in_the_cell_of_a_bin(bins):
    values = np.linspace(0, 1, 26)
    surface = np.stack(np.meshgrid(values, values, values, indexing="ij"), -1).reshape(1, -1, 3)
    ab = torch.tensor(rgb2lab(surface)[0, :, 1:], dtype=torch.float32)
    farthest = (ab[:, None] - bins.centres[None]).abs().amax(-1).amin(-1).max()
    assert farthest <= 5.5


def test_the_bins_are_centres_of_a_grid_of_ten_units_around_neutral(bins):
    centres = np.array(ab_bin_centres())
    assert np.array_equal(centres % 10, np.zeros_like(centres))
    assert (0.0, 0.0) in ab_bin_centres()
    assert len({tuple(centre) for centre in centres}) == bins.count
    assert 240 <= bins.count <= 320


def test_soft_encoding_is_that_of_a_brute_force_search(bins):
    ab = _in_gamut(4000, seed=4)
    indices, weights = bins.soft_encode(ab)
    squared = (ab.double()[:, None] - bins.centres.double()[None]).square().sum(-1)
    nearest = squared.sort(dim=1).values[:, :NEAREST]
    found = squared.gather(1, indices)
    torch.testing.assert_close(found, nearest, rtol=0, atol=1e-2)
    gaussian = torch.exp(-nearest / 50)
    torch.testing.assert_close(weights.double(), gaussian / gaussian.sum(1, keepdim=True), rtol=0, atol=1e-4)


@settings(max_examples=50)
@given(st.floats(-80, 90), st.floats(-100, 90))
def test_weights_sum_to_one_and_the_nearest_counts_most(a, b):
    indices, weights = AbBins().soft_encode(torch.tensor([[a, b]]))
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    assert weights[0, 0] == weights.max()
    assert len(set(indices[0].tolist())) == NEAREST


def test_the_annealed_mean_goes_from_the_mean_to_the_mode(bins):
    logits = torch.randn(2, bins.count, 3, 3, generator=torch.Generator().manual_seed(5)) * 3
    mean = torch.einsum("nqhw,qc->nchw", logits.double().softmax(1), bins.centres.double())
    torch.testing.assert_close(bins.annealed_mean(logits, 1.0).double(), mean, rtol=0, atol=1e-3)
    mode = bins.centres[logits.argmax(1)].permute(0, 3, 1, 2)
    torch.testing.assert_close(bins.annealed_mean(logits, 0.001), mode, rtol=0, atol=0.1)


def test_autocast_does_not_round_colours(bins):
    logits = torch.randn(1, bins.count, 4, 4, generator=torch.Generator().manual_seed(6))
    with torch.autocast("cpu", torch.bfloat16):
        inside = bins.annealed_mean(logits, 0.38)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, bins.annealed_mean(logits, 0.38), rtol=0, atol=0)


def test_the_distribution_counts_what_is_there(bins):
    grey = bins.distribution(torch.zeros(7, 5, 2))
    assert grey.sum().item() == pytest.approx(1)
    assert grey.argmax() == ab_bin_centres().index((0.0, 0.0))
    assert int((grey > 0).sum()) == NEAREST


@pytest.mark.parametrize("rebalance", [0.0, 0.5, 1.0])
def test_class_weights_have_mean_one_and_favour_the_rare(rebalance):
    distribution = torch.tensor([0.7, 0.2, 0.1, 0.0], dtype=torch.float64)
    weights = class_weights(distribution, rebalance)
    assert (weights.double() * distribution).sum().item() == pytest.approx(1, rel=1e-6)
    ratio = (weights[2] / weights[0]).item()
    q = rebalance / 4
    assert ratio == pytest.approx(((1 - rebalance) * 0.7 + q) / ((1 - rebalance) * 0.1 + q), rel=1e-5)
    assert math.isfinite(weights[3].item())
