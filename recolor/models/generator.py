"""The generator: predicts a colour, or a distribution over colours, for each 4x4 block."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor.config.settings import GeneratorModelConfig
from recolor.models.ab_bins import AbBins
from recolor.models.backbones import make_encoder
from recolor.models.blocks import ResidualBlock, zeroed

AB_SCALE = 110.0  # the regression head predicts ab / 110, about -1..1
LOGIT_SCALE = 16.0  # AdamW's steps would change the logits of normalised features too slowly
_GROUP_CHANNELS = 8  # channels per group of the group norm
_DILATIONS = (1, 2, 4, 8)
_SMALLEST = 1e-30  # the divisor of an image without colour


class Generator(nn.Module):
    """Features of the encoder, residual blocks at the deepest layer, upsampling with skips.

    The output has a quarter of the input's resolution.

    The blocks' dilations are 1, 2, 4, 8, repeated; the receptive field of four blocks is a whole 224-pixel image. Group
    norm (Wu and He 2018, "Group Normalization") precedes the head; without it the loss rises thirtyfold in the warm-up.

    Args:
        config: Shape of the network. `encoder_weights` is ignored: the encoder's weights are random.
    """

    def __init__(self, config: GeneratorModelConfig) -> None:
        super().__init__()
        self.head_kind = config.head
        self.scale = config.scale
        self.encoder = make_encoder(config.encoder, config.encoder_depth)
        self.bins = AbBins()
        widths = decoder_widths(config, len(self.encoder.channels))
        self.laterals = nn.ModuleList(
            nn.Conv2d(count, width, 1) for count, width in zip(self.encoder.channels, widths, strict=True)
        )
        dilations = [_DILATIONS[number % len(_DILATIONS)] for number in range(config.blocks)]
        self.blocks = nn.Sequential(*(ResidualBlock(widths[-1], dilation) for dilation in dilations))
        self.narrow = nn.ModuleList(_narrow(coarse, fine) for fine, coarse in reversed(list(pairwise(widths))))
        self.fuse = _fuse(config.width)
        self.fuse_coarse = nn.ModuleList(_fuse(width) for width in reversed(widths[1:-1]))
        self.head = zeroed(nn.Conv2d(config.width, self.bins.count if config.head == "distribution" else 2, 1))

    def forward(self, L: Tensor) -> Tensor:
        """Returns raw predictions for each block of 4s x 4s pixels of `L`; s is the model's scale.

        Args:
            L: Lightness [N,1,H,W], float32, 0..100; H and W multiples of 8s.

        Returns:
            Logits over the ab bins [N,Q,H/4s,W/4s], or ab [N,2,H/4s,W/4s] in Lab units from a regression head.
        """
        seen = functional.avg_pool2d(L, self.scale) if self.scale > 1 else L
        *skips, deepest = [lateral(x) for lateral, x in zip(self.laterals, self.encoder(seen), strict=True)]
        x = self.blocks(deepest)
        fuses = [*self.fuse_coarse, self.fuse]  # a single layer of the encoder has no skips, but is fused all the same
        for number, skip in enumerate(reversed(skips)):
            narrowed = self.narrow[number](x)
            x = fuses[number](skip + functional.interpolate(narrowed, size=skip.shape[-2:], mode="nearest"))
        out: Tensor = self.head(x if skips else self.fuse(x))
        return out * LOGIT_SCALE if self.head_kind == "distribution" else out.float() * AB_SCALE

    @torch.no_grad()
    def predict_ab(self, L: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
        """Returns the predicted colour of each 4x4 block; a scale above 1 is upsampled bilinearly.

        Args:
            L: Lightness [N,1,H,W], float32, 0..100; H and W multiples of 8 times the scale.
            temperature: Temperature T of the annealed mean; not used by a regression head.
            weights: Weights of the bins in training [Q], by which the probabilities are divided, so that rare colours
                are as probable as they are. None leaves the distribution as it was trained. Not used by a regression
                head.

        Returns:
            ab [N,2,H/4,W/4], float32, in Lab units.
        """
        return self.read_ab(self(L), temperature, weights)

    @torch.no_grad()
    def read_ab(
        self, out: Tensor, temperature: float, weights: Tensor | None = None, tilt: tuple[float, float] = (0.0, 0.0)
    ) -> Tensor:
        """Returns the colour that raw predictions stand for, so that several can be read from one run of the network.

        Args:
            out: What `forward` returned.
            temperature: As for `predict_ab`.
            weights: As for `predict_ab`.
            tilt: Exponential tilt (a, b), in 1 / Lab units: probabilities are multiplied by exp(tilt · ab), which moves
                the mean where the distribution is broad. Not used by a regression head.

        Returns:
            ab [N,2,H/4,W/4], float32, in Lab units.
        """
        if self.head_kind == "distribution":
            logits = out if weights is None else out - weights.log().view(1, -1, 1, 1)
            if any(tilt):
                logits = logits + (self.bins.centres @ out.new_tensor(tilt)).view(1, -1, 1, 1)
            ab = self.bins.annealed_mean(logits, temperature)
        else:
            ab = out.float()
        return ab if self.scale == 1 else functional.interpolate(ab, scale_factor=float(self.scale), mode="bilinear")


def contrast_chroma(ab: Tensor, contrast: float) -> Tensor:
    """Changes the contrast of chroma within each image.

    A chroma C becomes proportional to C (C + 1)^contrast. The root mean square of each image's chroma stays the same.

    Where a model is unsure of a hue, its mean colour is pale. Where it is surer, a bolder colour errs less. So with the
    same colourfulness, a contrast above 0 has a lower error (`docs/decisions/2026-11-pretrained-encoder.md`).

    Args:
        ab: [N,2,h,w], float32, in Lab units.
        contrast: 0 changes nothing.
    """
    if contrast == 0:
        return ab
    chroma = ab.square().sum(1, keepdim=True).sqrt()
    factor = (chroma + 1) ** contrast
    before, after = (values.square().mean((2, 3), keepdim=True) for values in (chroma, chroma * factor))
    return ab * factor * (before / after.clamp(min=_SMALLEST)).sqrt()


def decoder_widths(config: GeneratorModelConfig, levels: int) -> list[int]:
    """Returns the decoder's channels at each level, the finest first: multiples of 8."""
    return [_GROUP_CHANNELS * round(config.width * config.widening**level / _GROUP_CHANNELS) for level in range(levels)]


def _narrow(coarse: int, fine: int) -> nn.Module:
    return nn.Identity() if coarse == fine else nn.Conv2d(coarse, fine, 1)


def _fuse(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.GroupNorm(width // _GROUP_CHANNELS, width),
        nn.ReLU(inplace=True),
    )
