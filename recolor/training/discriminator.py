"""Adversarial training of a refiner: a critic that tells photographs from colourings, and what both lose by it."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from recolor.models.refiner import AB_SCALE, Refiner

_GROUPS = 8


class Contest(nn.Module):
    """A refiner and its critic as one model, so that one step of one optimiser moves both.

    Args:
        refiner: The refiner.
        width: Channels of the critic's first layer.
    """

    def __init__(self, refiner: Refiner, width: int = 32) -> None:
        super().__init__()
        self.refiner = refiner
        self.critic = Critic(width)

    def forward(self, L: Tensor, ab_small: Tensor, truth: Tensor) -> "Judged":
        """Colours a batch and judges it.

        Args:
            L: Lightness [N,1,H,W], float32, 0..100; H and W multiples of 8.
            ab_small: [N,2,H/4,W/4], float32, in Lab units.
            truth: The photographs' ab [N,2,H,W], likewise.
        """
        ab = self.refiner(L, ab_small)
        fixed = {name: parameter.detach() for name, parameter in self.critic.named_parameters()}
        judged = functional_call(self.critic, fixed, (L, ab))  # the refiner learns from it, and the critic does not
        return Judged(ab, judged, self.critic(L, truth), self.critic(L, ab.detach()))


class Judged(NamedTuple):
    """Colourings and what the critic makes of them; above 0 is a photograph.

    Attributes:
        ab: The refiner's, [N,2,H,W] in Lab units.
        own: Of its patches, with gradients for the refiner alone.
        photographs: Of the photographs' patches, with gradients for the critic.
        colourings: Of the refiner's patches, with gradients for the critic alone.
    """

    ab: Tensor
    own: Tensor
    photographs: Tensor
    colourings: Tensor


class Critic(nn.Module):
    """Whether each patch of 46 x 46 pixels looks like a photograph's: PatchGAN (Isola et al. 2017, section 3.2.2).

    Group norm in the place of batch norm: photographs and colourings are judged apart, whatever else is in the batch.

    Args:
        width: Channels of the first layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            *_halving(width, 2 * width),
            *_halving(2 * width, 4 * width),
            nn.Conv2d(4 * width, 1, 4, 1, 1),
        )

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """Scores [N,1,H/8-1,W/8-1] of L [N,1,H,W], 0..100, and ab [N,2,H,W] in Lab units."""
        out: Tensor = self.layers(torch.cat((L / 50 - 1, ab / AB_SCALE), 1))
        return out.float()


def critic_loss(photographs: Tensor, colourings: Tensor) -> Tensor:
    """Hinge loss of the critic (Lim and Ye 2017, "Geometric GAN", eq. 10): 2 where it knows nothing, 0 at best."""
    return functional.relu(1 - photographs).mean() + functional.relu(1 + colourings).mean()


def deceit_loss(own: Tensor) -> Tensor:
    """What the refiner loses by being found out (the same, eq. 11)."""
    return -own.mean()


def _halving(channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(channels, out_channels, 4, 2, 1, bias=False)
    return conv, nn.GroupNorm(_GROUPS, out_channels), nn.LeakyReLU(0.2)
