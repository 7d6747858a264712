"""The one block that both models are made of."""

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Convolution–ReLU–convolution added to its input, without batch norm: EDSR's block, residual scale 1.

    Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution", section 3.1. The last
    convolution starts at zero, so that a fresh stack of blocks is the identity.

    Args:
        width: Channels in and out.
        dilation: Of both convolutions: how far apart the 3x3 taps are, in pixels of the feature map.
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
