"""Candidates are other colours where the model is unsure, and none where it is sure."""

import numpy as np
import pytest
import torch

from recolor.colorize import Look
from recolor.colorize.candidates import find_candidates
from recolor.colorize.colorizer import Distribution
from recolor.errors import ConfigError
from recolor.models.ab_bins import ab_bin_centres

CENTRES = np.array(ab_bin_centres())


def predicted(colorizer, logits):
    """A prediction with the same logits [Q] at every place of a grey picture of 32 px."""
    L = torch.full((1, 1, 32, 32), 50.0)
    out = torch.as_tensor(logits, dtype=torch.float32)[None, :, None, None].expand(1, -1, 8, 8)
    return Distribution(L, out.contiguous())


def at(a, b):
    return int(np.abs(CENTRES - (a, b)).sum(1).argmin())


def test_where_the_model_is_sure_there_are_no_candidates(colorizer):
    logits = np.full(len(CENTRES), -50.0)
    logits[at(0, 40)] = 50.0
    assert find_candidates(colorizer, predicted(colorizer, logits), Look()) == ()


def test_between_orange_and_blue_the_candidates_are_warmer_and_cooler(colorizer):
    logits = np.full(len(CENTRES), -50.0)
    logits[[at(20, 40), at(0, -30)]] = 0.0
    distribution = predicted(colorizer, logits)
    found = {one.name: one for one in find_candidates(colorizer, distribution, Look())}
    assert {"warmer", "cooler"} <= set(found)
    usual = colorizer.read_ab(distribution)[0].mean((0, 1))
    assert colorizer.read_ab(distribution, found["warmer"].look)[0].mean((0, 1))[1] > usual[1] + 5
    assert colorizer.read_ab(distribution, found["cooler"].look)[0].mean((0, 1))[1] < usual[1] - 5


def test_candidates_keep_the_look_and_come_in_the_order_of_their_change(colorizer):
    look = Look(saturation=1.5, temperature=0.9, rebalanced=False)
    distribution = predicted(colorizer, np.zeros(len(CENTRES)))
    found = find_candidates(colorizer, distribution, look)
    assert len(found) == 4
    assert [one.change for one in found] == sorted((one.change for one in found), reverse=True)
    for one in found:
        assert (one.look.saturation, one.look.temperature, one.look.rebalanced) == (1.5, 0.9, False)


def test_without_saturation_there_are_no_candidates(colorizer):
    distribution = predicted(colorizer, np.zeros(len(CENTRES)))
    assert find_candidates(colorizer, distribution, Look(saturation=0)) == ()


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.05, -0.02), (-1.0, 1.0)])
def test_a_tilt_multiplies_the_probabilities_by_an_exponential(colorizer, tilt):
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 3, len(CENTRES))
    temperature = 0.7
    tilted = (logits + CENTRES @ np.array(tilt)) / temperature
    probabilities = np.exp(tilted - tilted.max())
    expected = probabilities @ CENTRES / probabilities.sum()
    found = colorizer.generator.read_ab(predicted(colorizer, logits).out, temperature, tilt=tilt)
    assert np.allclose(found[0, :, 3, 4].numpy(), colorizer.generator.saturation * expected, atol=1e-3)


def test_looks_read_from_one_prediction_are_those_of_a_prediction_each(colorizer):
    L = np.random.default_rng(3).uniform(0, 100, (2, 64, 64)).astype(np.float32)
    distribution = colorizer.predict_distribution(L)
    for look in (Look(), Look.named("careful"), Look(temperature=0.2)):
        assert np.array_equal(colorizer.read_ab(distribution, look), colorizer.predict_ab(L, look))


@pytest.mark.parametrize("tilt", [(2.0, 0.0), (0.0, -1.1), (float("nan"), 0.0)])
def test_a_tilt_out_of_range_is_refused(tilt):
    with pytest.raises(ConfigError, match="tilt"):
        Look(tilt=tilt)
