"""Residual blocks of the networks: ResNet's bottleneck and EDSR's block."""

from torch import Tensor, nn

EXPANSION = 4


class Bottleneck(nn.Module):
    """ResNet's bottleneck block: 1x1, 3x3 and 1x1 convolutions added to their input.

    He et al. 2015, figure 5, with the stride in the 3x3 convolution (ResNet 1.5). Same parameter names and results as
    `torchvision.models.resnet.Bottleneck`; importing torchvision takes two seconds.

    Args:
        in_channels: Number of channels of the input.
        planes: Number of channels of the 3x3 convolution; the output has four times as many.
        stride: Stride of the 3x3 convolution.
        downsample: Applied to the input before the addition, if the output has another shape.
    """

    def __init__(self, in_channels: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N,in_channels,h,w] to [N,4*planes,h/stride,w/stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(out)
        return result


class ResidualBlock(nn.Module):
    """EDSR's block: convolution, ReLU and convolution, added to the input.

    It has no batch norm, and residual scale 1.

    Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution", section 3.1. The last
    convolution is initialised to zero, so an untrained stack of blocks is the identity.

    Args:
        width: Number of channels of input and output.
        dilation: Dilation of both convolutions.
    """

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = zeroed(nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N,width,h,w] to the same shape."""
        out: Tensor = x + self.conv2(self.relu(self.conv1(x)))
        return out


def zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    """Sets a convolution's weights and bias to zero, and returns it."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
