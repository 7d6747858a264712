"""Bins of the ab plane, for colour prediction as classification.

Zhang, Isola and Efros 2016, "Colorful Image Colorization".
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from recolor.color.lab import rgb_to_lab

BIN_UNITS = 10
SIGMA_UNITS = 5.0
NEAREST = 5
_REACH = 11  # cells on each side of zero: a and b of the sRGB gamut are within ±110
_GRID = 2 * _REACH + 1
_FAR = 1e6


@cache
def ab_bin_centres() -> tuple[tuple[float, float], ...]:
    """Returns the centres (a, b), in Lab units, of the bins: cells that contain an sRGB colour.

    Cells have sides of 10 units.

    The gamut is sampled at every 4th of the 256 values of R, G and B, and at 255. Sorted by a, then b.
    """
    values = np.array([*range(0, 256, 4), 255], dtype=np.uint8)
    rgb = np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1).reshape(-1, 3)
    occupied = np.zeros((_GRID, _GRID), bool)
    occupied[tuple(np.round(rgb_to_lab(rgb)[:, 1:] / BIN_UNITS).astype(int).T + _REACH)] = True
    cells = np.argwhere(occupied) - _REACH
    return tuple((float(a * BIN_UNITS), float(b * BIN_UNITS)) for a, b in cells)


class AbBins(nn.Module):
    """The bins as buffers, which move to the model's device but are not in its state dict."""

    centres: Tensor
    candidates: Tensor
    padded_centres: Tensor

    def __init__(self) -> None:
        super().__init__()
        centres = torch.tensor(ab_bin_centres())
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("padded_centres", torch.cat([centres, torch.full((1, 2), _FAR)]), persistent=False)
        self.register_buffer("candidates", _candidates(centres), persistent=False)

    @property
    def count(self) -> int:
        """Number of bins Q."""
        return len(self.centres)

    def soft_encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the 5 bins nearest to each colour and their Gaussian weights, which sum to 1.

        σ is 5 Lab units.

        Args:
            ab: [...,2] in Lab units.

        Returns:
            Indices [...,5], int64, nearest first, and weights [...,5], float32.
        """
        cell = (ab / BIN_UNITS).round().clamp(-_REACH, _REACH).long() + _REACH
        near = self.candidates[cell[..., 0] * _GRID + cell[..., 1]]
        squared = (self.padded_centres[near] - ab.unsqueeze(-2)).square().sum(-1)
        nearest = squared.topk(NEAREST, dim=-1, largest=False, sorted=True)
        weights = (-nearest.values / (2 * SIGMA_UNITS**2)).softmax(-1)
        return near.gather(-1, nearest.indices), weights

    def annealed_mean(self, logits: Tensor, temperature: float) -> Tensor:
        """Returns the annealed mean: the mean colour of the distribution sharpened by T.

        Zhang et al. 2016, eq. 5.

        Args:
            logits: [N,Q,h,w].
            temperature: T; 1 gives the mean, values towards 0 the mode.

        Returns:
            ab [N,2,h,w], float32, in Lab units.
        """
        with torch.autocast(logits.device.type, enabled=False):  # colours are always float32
            probabilities = (logits.float() / temperature).softmax(1)
            return torch.einsum("nqhw,qc->nchw", probabilities, self.centres)

    def distribution(self, ab: Tensor) -> Tensor:
        """Returns the frequency of each bin among colours `ab` [...,2]: float64 [Q], summing to 1."""
        indices, weights = self.soft_encode(ab)
        shares = torch.zeros(self.count, dtype=torch.float64, device=ab.device)
        shares.index_add_(0, indices.flatten(), weights.flatten().double())
        return shares / shares.sum()


def class_weights(distribution: Tensor, rebalance: float) -> Tensor:
    """Returns the weight of each bin: 1 / ((1-λ)p + λ/Q), scaled to a mean of 1 under p.

    Zhang et al. 2016, eq. 4.

    Args:
        distribution: Frequencies p [Q], summing to 1.
        rebalance: λ. 1 gives equal weights, 0 weights inverse to p; bins with p = 0 then get the weight of the rarest.
    """
    mixed = (1 - rebalance) * distribution + rebalance / len(distribution)
    weights = 1 / mixed.clamp(min=mixed[distribution > 0].min())
    return (weights / (weights * distribution).sum()).float()


def _candidates(centres: Tensor) -> Tensor:
    """Returns, for each cell, the bins among the 5 nearest to any colour in it, padded.

    A bin is excluded if its least distance from the cell exceeds the largest distances of 5 others. Colours outside the
    grid are clamped to its border cells by `soft_encode`; the sRGB gamut has none.
    """
    axis = torch.arange(-_REACH, _REACH + 1) * float(BIN_UNITS)
    cells = torch.cartesian_prod(axis, axis)
    offset = (cells[:, None] - centres[None]).abs()
    least = (offset - BIN_UNITS / 2).clamp(min=0).norm(dim=-1)
    most = (offset + BIN_UNITS / 2).norm(dim=-1)
    reach = most.kthvalue(NEAREST, dim=1, keepdim=True).values
    possible = least <= reach
    order = torch.where(possible, torch.arange(len(centres)), len(centres)).sort(dim=1).values
    return order[:, : int(possible.sum(1).max())]
