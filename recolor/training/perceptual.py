"""Perceptual loss: how unlike two pictures are to a network that has learnt what photographs show."""

import torch
from torch import Tensor, nn

from recolor.color.lab_torch import lab_to_rgb
from recolor.models.encoder import Encoder
from recolor.models.weights import read_resnet101

_DEPTH = 2
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as torchvision's weights expect


class PhotographFeatures(Encoder):
    """The first two layers of a trained ResNet101 that sees colour, frozen.

    Args:
        weights: `imagenet` or the path of a ResNet101 state dict.

    Raises:
        WeightsError: They cannot be had or are not a ResNet101's.
    """

    def __init__(self, weights: str) -> None:
        super().__init__(_DEPTH)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        state = read_resnet101(weights, self)
        self.load_state_dict({name: state.get(name, own) for name, own in self.state_dict().items()})
        self.requires_grad_(False).eval()

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Features of sRGB [N,3,H,W], 0..1: [N,256,H/4,W/4] and [N,512,H/8,W/8]."""
        mean, std = (rgb.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
        return self.features((rgb - mean) / std)


def perceptual_loss(features: PhotographFeatures, L: Tensor, ab: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the features, averaged over the layers (Johnson et al. 2016, eq. 2, with |.| for .²).

    Args:
        features: Of a network that has seen photographs.
        L: Lightness [N,1,H,W], 0..100.
        ab: Colour [N,2,H,W], in Lab units.
        truth: The photographs' colour, likewise.
    """
    own = features(lab_to_rgb(torch.cat((L, ab), 1)))
    with torch.no_grad():
        wanted = features(lab_to_rgb(torch.cat((L, truth), 1)))
    return torch.stack([(a.float() - b.float()).abs().mean() for a, b in zip(own, wanted, strict=True)]).mean()
