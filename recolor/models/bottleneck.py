"""ResNet's bottleneck block, without the two seconds that importing torchvision takes."""

from torch import Tensor, nn

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions added to their input: `torchvision.models.resnet.Bottleneck`, name for name.

    He et al. 2015, figure 5, with the stride at the 3x3 convolution, as torchvision has it (ResNet 1.5).

    Args:
        in_channels: Channels of the input.
        planes: Channels of the 3x3 convolution; four times as many come out.
        stride: Of the 3x3 convolution.
        downsample: What the input goes through where its shape is not that of the output.
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
