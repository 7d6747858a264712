"""Adversarial training of the refiner: the discriminator and the losses of both networks."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from recolor.models.refiner import AB_SCALE, Refiner

_GROUPS = 8


class AdversarialTraining(nn.Module):
    """A refiner and its discriminator as one model, which one optimiser trains in each step.

    Args:
        refiner: The refiner.
        width: Number of channels of the discriminator's first layer.
    """

    def __init__(self, refiner: Refiner, width: int = 32) -> None:
        super().__init__()
        self.refiner = refiner
        self.critic = Discriminator(width)  # checkpoints hold its weights under this name

    def forward(self, L: Tensor, ab_small: Tensor, truth: Tensor) -> "Scores":
        """Colours a batch and scores the colourings and the photographs.

        Args:
            L: Lightness [N,1,H,W], float32, 0..100; H and W multiples of 8.
            ab_small: [N,2,H/4,W/4], float32, in Lab units.
            truth: The photographs' ab [N,2,H,W], float32, in Lab units.
        """
        ab = self.refiner(L, ab_small)
        frozen = {name: parameter.detach() for name, parameter in self.critic.named_parameters()}
        refined = functional_call(self.critic, frozen, (L, ab))  # with gradients for the refiner only
        return Scores(ab, refined, self.critic(L, truth), self.critic(L, ab.detach()))


class Scores(NamedTuple):
    """A batch's colourings and the discriminator's scores; above 0 means a photograph.

    Attributes:
        ab: The refiner's colours [N,2,H,W], in Lab units.
        refined: Scores of the colourings, with gradients for the refiner only.
        photographs: Scores of the photographs, with gradients for the discriminator.
        colourings: Scores of the colourings, with gradients for the discriminator only.
    """

    ab: Tensor
    refined: Tensor
    photographs: Tensor
    colourings: Tensor


class Discriminator(nn.Module):
    """PatchGAN: scores each patch of 46 x 46 pixels as photograph or colouring.

    Isola et al. 2017, section 3.2.2.

    It uses group norm instead of batch norm, so that a score does not depend on the rest of the batch.

    Args:
        width: Number of channels of the first layer.
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
        """Returns scores [N,1,H/8-1,W/8-1] of L [N,1,H,W], 0..100, and ab [N,2,H,W] in Lab units."""
        out: Tensor = self.layers(torch.cat((L / 50 - 1, ab / AB_SCALE), 1))
        return out.float()


def discriminator_loss(photographs: Tensor, colourings: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim and Ye 2017, "Geometric GAN", eq. 10); at least 0."""
    return functional.relu(1 - photographs).mean() + functional.relu(1 + colourings).mean()


def adversarial_loss(refined: Tensor) -> Tensor:
    """Hinge loss of the refiner, the GAN's generator (Lim and Ye 2017, eq. 11)."""
    return -refined.mean()


def _halving(channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(channels, out_channels, 4, 2, 1, bias=False)
    return conv, nn.GroupNorm(_GROUPS, out_channels), nn.LeakyReLU(0.2)
