"""What is minimised. Predictions come as the models give them, in any float type; losses are float32."""

from torch import Tensor
from torch.nn import functional

from recolor.models.ab_bins import AbBins

AB_UNITS = 110.0  # losses on ab are measured in 110 Lab units: about the whole range


def distribution_loss(logits: Tensor, ab_small: Tensor, bins: AbBins, weights: Tensor) -> Tensor:
    """Rebalanced cross entropy between the predicted and the softly encoded colours (Zhang et al. 2016, eq. 2-4).

    Args:
        logits: [N,Q,h,w].
        ab_small: The truth, [N,2,h,w], in Lab units.
        bins: The ab bins.
        weights: Weight of each bin [Q]; a pixel's is that of the bin nearest to its true colour.

    Returns:
        The mean over all pixels, in nats.
    """
    nearest, shares = bins.soft_encode(ab_small.permute(0, 2, 3, 1))
    values = logits.float().permute(0, 2, 3, 1)
    cross_entropy = values.logsumexp(-1) - (values.gather(-1, nearest) * shares).sum(-1)
    return (weights[nearest[..., 0]] * cross_entropy).mean()


def regression_loss(ab: Tensor, truth: Tensor) -> Tensor:
    """Smooth L1 of ab [N,2,h,w], in Lab units, against the truth; quadratic under 5 units. In units of 110."""
    return functional.smooth_l1_loss(ab.float() / AB_UNITS, truth / AB_UNITS, beta=5 / AB_UNITS)


def refinement_loss(ab: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of ab [N,2,H,W], in Lab units, against the truth. In units of 110."""
    return functional.l1_loss(ab.float() / AB_UNITS, truth / AB_UNITS)
