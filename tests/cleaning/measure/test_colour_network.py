from itertools import pairwise

import numpy as np
import pytest

from recolor.cleaning.measure.colour_network import CLIP, network_evidence


def some_network(*sizes):
    rng = np.random.default_rng(0)
    network = {"mean": rng.normal(size=sizes[0]), "std": rng.uniform(0.5, 2, sizes[0])}
    for layer, (before, after) in enumerate(pairwise(sizes)):
        network |= {f"weight_{layer}": rng.normal(size=(after, before)), f"bias_{layer}": rng.normal(size=after)}
    return {name: values.astype(np.float32) for name, values in network.items()}


@pytest.mark.parametrize("sizes", [(5, 3, 1), (5, 4, 3, 1)])
def test_layers_follow_each_other_with_relu_between_them(sizes):
    network, inputs = some_network(*sizes), np.random.default_rng(1).normal(0, 9, (6, 5)).astype(np.float32)
    values = np.clip((inputs - network["mean"]) / network["std"], -CLIP, CLIP)
    for layer in range(len(sizes) - 2):
        values = np.maximum(values @ network[f"weight_{layer}"].T + network[f"bias_{layer}"], 0)
    wanted = values @ network[f"weight_{len(sizes) - 2}"][0] + network[f"bias_{len(sizes) - 2}"][0]
    assert network_evidence(inputs, network) == pytest.approx(wanted, rel=1e-4)


def test_evidence_of_a_row_does_not_depend_on_the_others():
    network, inputs = some_network(173, 192, 48, 1), np.random.default_rng(1).normal(size=(50, 173)).astype(np.float32)
    alone = [network_evidence(row[None], network)[0] for row in inputs]
    assert network_evidence(inputs, network) == pytest.approx(alone, abs=1e-9)
