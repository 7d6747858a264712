"""How the networks of `recolor/cleaning/measure/colour_network.py` are fitted."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from colour_sources import Rgb
from numpy.typing import NDArray
from torch import nn

from recolor.cleaning.measure.colour import measure_colours
from recolor.cleaning.measure.colour_network import CLIP, colour_inputs, scalar_inputs

_TOGETHER = 64


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Sizes of the hidden layers, length and seed of a training."""

    hidden: tuple[int, ...]
    epochs: int
    batch: int
    seed: int = 0


def measured(squares: Rgb) -> pa.Table:
    """The measurements of colour of small copies."""
    tables = (pa.table(measure_colours(squares[at : at + _TOGETHER])) for at in range(0, len(squares), _TOGETHER))
    return pa.concat_tables(tables).combine_chunks()


def colour_inputs_of(
    squares: Rgb, scalars: Callable[[pa.Table], NDArray[np.float32]] = scalar_inputs
) -> NDArray[np.float32]:
    """The networks' inputs, of small copies."""
    table = measured(squares)
    layouts, tones = (
        np.frombuffer(b"".join(table[name].to_pylist()), "<f4") for name in ("colour_layout", "colour_tones")
    )
    return colour_inputs(scalars(table), layouts.reshape(len(table), -1), tones.reshape(len(table), -1))


def fit_network(
    inputs: NDArray[np.float32], fine: NDArray[np.bool_], weights: NDArray[np.float32], recipe: Recipe
) -> dict[str, NDArray[np.float32]]:
    """The arrays of a network: weighted logistic loss, AdamW on one cycle of the learning rate."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    mean, std = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    x = torch.from_numpy(np.clip((inputs - mean) / std, -CLIP, CLIP).astype(np.float32))
    wanted, weight = torch.from_numpy(fine.astype(np.float32)), torch.from_numpy(weights)
    sizes = (x.shape[1], *recipe.hidden, 1)
    layers = [nn.Linear(before, after) for before, after in itertools.pairwise(sizes)]
    hidden = itertools.chain.from_iterable((layer, nn.ReLU(), nn.Dropout(0.2)) for layer in layers[:-1])
    network = nn.Sequential(nn.Dropout(0.03), *hidden, layers[-1])
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=3e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 4e-3, total_steps=recipe.epochs * (len(x) // recipe.batch)
    )
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(x))[: len(x) // recipe.batch * recipe.batch].split(recipe.batch):
            out = network(x[rows])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(out, wanted[rows], weight[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    arrays = {"mean": mean.astype(np.float32), "std": std.astype(np.float32)}
    for at, layer in enumerate(layers):
        arrays |= {f"weight_{at}": layer.weight.detach().numpy(), f"bias_{at}": layer.bias.detach().numpy()}
    return arrays
