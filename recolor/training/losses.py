"""Loss functions.

Predictions may have any float dtype, as the models return them; losses are float32.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor.color.lab_torch import lab_to_rgb
from recolor.models.ab_bins import AbBins
from recolor.models.encoder import Encoder
from recolor.models.weights import read_resnet101

AB_UNITS = 110.0  # losses on ab are in units of 110 Lab units, about the largest a or b of the gamut
_PERCEPTUAL_DEPTH = 2
_SSIM_SIGMA_PX, _SSIM_RADIUS_PX = 1.5, 5  # of Wang et al. 2004, as `recolor.evaluation.metrics.ssim`
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as torchvision's weights expect


def distribution_loss(logits: Tensor, ab_small: Tensor, bins: AbBins, weights: Tensor) -> Tensor:
    """Rebalanced cross entropy of soft-encoded colours (Zhang et al. 2016, eq. 2-4).

    Args:
        logits: [N,Q,h,w].
        ab_small: The true colours, [N,2,h,w], in Lab units.
        bins: The ab bins.
        weights: Weight of each bin [Q]; a pixel has the weight of the bin nearest to its true colour.

    Returns:
        The mean over all pixels, in nats.
    """
    nearest, shares = bins.soft_encode(ab_small.permute(0, 2, 3, 1))
    values = logits.float().permute(0, 2, 3, 1)
    cross_entropy = values.logsumexp(-1) - (values.gather(-1, nearest) * shares).sum(-1)
    return (weights[nearest[..., 0]] * cross_entropy).mean()


def distillation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of a distribution that teachers predict (Hinton et al. 2015, eq. 1, at temperature 1).

    Args:
        logits: [N,Q,h,w].
        target: Probabilities, [N,Q,h,w].

    Returns:
        The mean over all pixels, in nats.
    """
    return -(target * logits.float().log_softmax(1)).sum(1).mean()


def regression_loss(ab: Tensor, truth: Tensor) -> Tensor:
    """Smooth L1 loss of ab [N,2,h,w], in Lab units.

    It is quadratic below 5 Lab units. The loss is in units of 110.
    """
    return functional.smooth_l1_loss(ab.float() / AB_UNITS, truth / AB_UNITS, beta=5 / AB_UNITS)


def refinement_loss(ab: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of ab [N,2,H,W], in Lab units. The loss is in units of 110."""
    return functional.l1_loss(ab.float() / AB_UNITS, truth / AB_UNITS)


def ssim_loss(L: Tensor, ab: Tensor, truth: Tensor) -> Tensor:
    """Mean of 1 - SSIM over pixels and sRGB channels (Wang et al. 2004, eq. 13, with their constants).

    The lightness is the same, so what counts is the structure that colour gives to the channels. Channels outside of
    the gamut are clipped. On CUDA, sums are float32 unless `torch.set_float32_matmul_precision` allows less.

    Args:
        L: Lightness [N,1,H,W], 0..100; at least 11 pixels a side.
        ab: Predicted colour [N,2,H,W], in Lab units.
        truth: True colour [N,2,H,W], in Lab units.
    """
    with torch.autocast(ab.device.type, enabled=False):  # variances are differences of nearly equal numbers
        own, wanted = (lab_to_rgb(torch.cat((L, colour.float()), 1)) for colour in (ab, truth))
        own_mean, wanted_mean = _windowed(own), _windowed(wanted)
        product, squares = own_mean * wanted_mean, own_mean.square() + wanted_mean.square()
        covariance = _windowed(own * wanted) - product
        variances = _windowed(own.square() + wanted.square()) - squares
        similarity = (2 * product + _SSIM_C1) * (2 * covariance + _SSIM_C2)
        return 1 - (similarity / ((squares + _SSIM_C1) * (variances + _SSIM_C2))).mean()


def _windowed(images: Tensor) -> Tensor:
    """Returns means under a Gaussian window of 11x11 pixels, without the border: [N,C,H,W] to [N,C,H-10,W-10].

    Two products with band matrices, which a CPU computes in a fraction of the time of two convolutions.
    """
    rows, columns = (_gaussian_band(side, images.device) for side in images.shape[-2:])
    return rows @ images @ columns.T


def _gaussian_band(side_px: int, device: torch.device) -> Tensor:
    """Returns the matrix [S-10,S] whose products with a column of S pixels are its windows' means."""
    pixels = torch.arange(side_px, device=device)
    centres = pixels[_SSIM_RADIUS_PX : side_px - _SSIM_RADIUS_PX, None]
    offsets = pixels - centres
    weights = torch.exp(-offsets.square() / (2 * _SSIM_SIGMA_PX**2)) * (offsets.abs() <= _SSIM_RADIUS_PX)
    return weights / weights.sum(1, keepdim=True)


class PhotographFeatures(Encoder):
    """Features for the perceptual loss: the first two layers of a trained ResNet101, frozen.

    Args:
        weights: `imagenet` or the path of a ResNet101 state dict.

    Raises:
        WeightsError: The weights do not exist, cannot be downloaded, or are not a ResNet101's.
    """

    def __init__(self, weights: str) -> None:
        super().__init__(_PERCEPTUAL_DEPTH)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        state = read_resnet101(weights, self)
        self.load_state_dict({name: state.get(name, own) for name, own in self.state_dict().items()})
        self.requires_grad_(False).eval()

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Returns features of sRGB [N,3,H,W], 0..1: [N,256,H/4,W/4] and [N,512,H/8,W/8]."""
        mean, std = (rgb.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
        return self.features((rgb - mean) / std)


def perceptual_loss(features: PhotographFeatures, L: Tensor, ab: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the features, averaged over the layers.

    Johnson et al. 2016, eq. 2, with absolute instead of squared differences.

    Args:
        features: The frozen network.
        L: Lightness [N,1,H,W], 0..100.
        ab: Predicted colour [N,2,H,W], in Lab units.
        truth: True colour [N,2,H,W], in Lab units.
    """
    own = features(lab_to_rgb(torch.cat((L, ab), 1)))
    with torch.no_grad():
        wanted = features(lab_to_rgb(torch.cat((L, truth), 1)))
    return torch.stack([(a.float() - b.float()).abs().mean() for a, b in zip(own, wanted, strict=True)]).mean()
