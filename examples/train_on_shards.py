"""Trains a small network of one's own on the shards of a workspace.

python examples/train_on_shards.py WORKSPACE/data/shards [EPOCHS]
"""

import logging
import sys

import torch
from torch import nn

from recolor import ShardDataset, make_loader

log = logging.getLogger("train_on_shards")


def small_network(width: int = 32) -> nn.Module:
    """Returns a network from lightness [N, 1, S, S] in 0..1 to ab [N, 2, S, S] / 110."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
    for dilation in (2, 4, 8):
        layers += [nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, 2, 1))


def mean_loss(network: nn.Module, dataset: ShardDataset, optimizer: torch.optim.Optimizer | None = None) -> float:
    """Returns the mean loss of one pass over a dataset; trains the network if there is an optimizer."""
    total = 0.0
    with torch.set_grad_enabled(optimizer is not None):
        for L, ab in make_loader(dataset, batch_size=16):
            loss = nn.functional.mse_loss(network(L / 100), ab / 110)
            if optimizer:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(L)
    return total / len(dataset)


def main(shards: str, epochs: str = "5") -> nn.Module:
    """Returns a network that was trained on the shards for some epochs."""
    train, val = ShardDataset(shards, "train"), ShardDataset(shards, "val")
    network = small_network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for epoch in range(int(epochs)):
        trained, validated = mean_loss(network, train, optimizer), mean_loss(network, val)
        log.info("epoch %d: loss %.4f, validation %.4f", epoch + 1, trained, validated)
    return network


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(*sys.argv[1:])
