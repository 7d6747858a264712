"""The refiner: predicts colour at full resolution from lightness and low-resolution colour."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor.config.settings import RefinerModelConfig
from recolor.models.backbones import make_encoder
from recolor.models.blocks import ResidualBlock, zeroed

AB_SCALE = 110.0  # the network computes with ab / 110, about -1..1


class Refiner(nn.Module):
    """Encoder features of L and an encoding of ab, EDSR body, two pixel shuffles, global skip.

    Lim et al. 2017 (EDSR), figure 3: the body has its own skip connection, and ×4 is two ×2 pixel shuffles. The output
    of the head is added to the bilinearly upsampled ab; that of an untrained refiner is zero.

    Args:
        config: Shape of the network. `encoder_weights` is ignored: the encoder's weights are random.
    """

    def __init__(self, config: RefinerModelConfig) -> None:
        super().__init__()
        width = config.width
        self.encoder = make_encoder(config.encoder, 1)
        self.encode_ab = nn.Sequential(nn.Conv2d(2, width, 3, padding=1), nn.ReLU(inplace=True))
        self.join = nn.Conv2d(self.encoder.channels[0] + 16 + width, width, 1)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(config.blocks)))
        self.upsample = nn.Sequential(_times_two(width), _times_two(width))
        self.head = zeroed(nn.Conv2d(width, 2, 3, padding=1))

    def forward(self, L: Tensor, ab_small: Tensor) -> Tensor:
        """Returns colour at the resolution of L.

        Args:
            L: Lightness [N,1,H,W], float32, 0..100; H and W multiples of 8.
            ab_small: [N,2,H/4,W/4], float32, in Lab units.

        Returns:
            ab [N,2,H,W], float32, in Lab units.
        """
        encoded = self.encoder(L)[0]
        pixels = functional.pixel_unshuffle(L / 50 - 1, 4)  # fine detail that the encoder's pooling drops
        pixels = pixels.to(
            encoded.dtype, memory_format=torch.channels_last
        )  # otherwise cat would convert all to float32
        features = torch.cat([encoded, pixels, self.encode_ab(ab_small / AB_SCALE)], dim=1)
        x = self.join(features)
        correction = self.head(self.upsample(x + self.body(x))).float() * AB_SCALE
        ab: Tensor = upsample_ab(ab_small) + correction
        return ab


def upsample_ab(ab_small: Tensor) -> Tensor:
    """Upsamples ab bilinearly, [N,2,h,w] to [N,2,4h,4w]: the baseline of the refiner."""
    return functional.interpolate(ab_small.float(), scale_factor=4, mode="bilinear", align_corners=False)


def _times_two(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2))
