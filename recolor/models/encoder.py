"""Encoder: the first layers of a ResNet101, with a stem for greyscale images."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from recolor.color.lab_torch import linear_to_srgb
from recolor.models.blocks import Bottleneck

BLOCKS = (3, 4, 23, 3)  # ResNet101's layer1 to layer4 (He et al. 2015, table 1)
CHANNELS = (256, 512, 1024, 2048)
GREY_MEAN, GREY_STD = 0.449, 0.226  # ImageNet's mean and standard deviation, averaged over R, G, B


class Encoder(nn.Module):
    """ResNet101 up to one of its four layers; parameters have torchvision's names.

    Its weights are random (He initialisation); `recolor.models.weights` loads pretrained ones.

    Args:
        depth: Number of layers, 1 to 4.

    Attributes:
        channels: Number of channels of each layer's features.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.channels = CHANNELS[:depth]
        self.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layers = [f"layer{number}" for number in range(1, depth + 1)]
        for index, name in enumerate(self.layers):
            self.add_module(name, _layer(index))
        self.apply(_initialise)

    def forward(self, L: Tensor) -> list[Tensor]:
        """Returns the features of each layer.

        Args:
            L: Lightness [N,1,H,W], float32, 0..100.

        Returns:
            One tensor per layer: [N,256,H/4,W/4], [N,512,H/8,W/8], [N,1024,H/16,W/16], [N,2048,H/32,W/32] (sizes
            rounded up).
        """
        return self.features((grey_from_lightness(L) - GREY_MEAN) / GREY_STD)

    def features(self, x: Tensor) -> list[Tensor]:
        """Returns the same features as `forward`, from values that are already normalised."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        features = []
        for name in self.layers:
            x = self.get_submodule(name)(x)
            features.append(x)
        return features


def grey_from_lightness(L: Tensor) -> Tensor:
    """Returns the sRGB grey value, 0..1, whose CIE lightness is `L`, 0..100.

    CIE 15:2004, eq. 8.4 inverted, to relative luminance; IEC 61966-2-1 to the sRGB value.
    """
    f = (L + 16) / 116
    luminance = torch.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return linear_to_srgb(luminance)


def _layer(index: int) -> nn.Sequential:
    planes = 64 * 2**index
    in_channels = 64 if index == 0 else CHANNELS[index - 1]
    stride = 1 if index == 0 else 2
    out_channels = CHANNELS[index]
    shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
    first = Bottleneck(in_channels, planes, stride, shortcut)
    rest = [Bottleneck(out_channels, planes) for _ in range(BLOCKS[index] - 1)]
    return nn.Sequential(OrderedDict((str(number), block) for number, block in enumerate([first, *rest])))


def _initialise(module: nn.Module) -> None:
    """He initialisation, as in torchvision.

    The scale of each block's last norm is zero, so that the block is the identity.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, Bottleneck):
        nn.init.zeros_(module.bn3.weight)
