"""Synchronised batch norm: its statistics are those of the batch of all processes.

Each process normalises its share with the mean and variance of the whole batch, as a single process would (Ioffe and
Szegedy 2015, algorithm 1), and keeps the same running statistics. Parameters and buffers have the names that they have
in `nn.BatchNorm2d`.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from recolor.training.distributed import all_gather, all_reduce_sum, world_size


def with_global_batch_norm(model: nn.Module) -> nn.Module:
    """Replaces a model's batch norms in place by synchronised ones if there is a process group.

    On CUDA they are `nn.SyncBatchNorm`, which does not support tensors on a CPU.
    """
    if not dist.is_initialized():
        return model
    if next(model.parameters()).device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call,no-any-return]
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _synchronised(child))
    return model


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Synchronised batch norm on a CPU: of [N,C,H,W] over N, H, W and all processes.

    Each process must have the same number of images. Statistics are float32, or float64 if the parameters are.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalises [N,C,H,W]; the result has the same shape and dtype."""
        if not self.training:
            return super().forward(x)
        statistics = _statistics(x.detach(), self.weight)
        self._update_running_statistics(statistics, _values_per_channel(x))
        out: Tensor = _Normalise.apply(x, torch.stack([self.weight, self.bias]), statistics, self.eps)
        return out

    @torch.no_grad()
    def _update_running_statistics(self, statistics: Tensor, count: int) -> None:
        """Updates the running statistics; the variance is the unbiased one of `count` values."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        mean, variance = statistics
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked.add_(1)


class _Normalise(torch.autograd.Function):
    """Normalises with given statistics.

    The gradient takes into account that the statistics depend on the values of all processes.

    Ioffe and Szegedy 2015, section 3: of x̂ = (x - μ) / σ and y = γ x̂ + β, with means over all values of a channel,
    dx = γ / σ (dy - mean(dy) - x̂ mean(dy x̂)).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, affine: Tensor, statistics: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, affine, statistics)
        ctx.eps = eps
        (mean, variance), (weight, bias) = statistics, affine
        return functional.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, (weight, _), (mean, variance) = ctx.saved_tensors
        per_std = (variance + ctx.eps).rsqrt()
        dx, *affine_gradients = torch.ops.aten.native_batch_norm_backward(  # as if the statistics were constants
            gradients[0], x, weight, mean, variance, mean, per_std, False, ctx.eps, [True, True, True]
        )
        daffine = torch.stack(affine_gradients)
        scale, shift = weight * per_std * all_reduce_sum(daffine) / _values_per_channel(x)
        dx.sub_(functional.batch_norm(x, mean, variance, scale, shift, eps=ctx.eps))
        return dx, daffine, None, None


def _statistics(x: Tensor, like: Tensor) -> Tensor:
    """Returns mean and variance [2,C] over all processes, combined as in Chan et al. 1979."""
    own = torch.batch_norm_update_stats(x, torch.zeros_like(like), torch.zeros_like(like), 0.0)
    means, variances = all_gather(torch.stack(own)).unbind(1)
    mean = means.mean(0)
    return torch.stack([mean, (variances + (means - mean).square()).mean(0)])


def _values_per_channel(x: Tensor) -> int:
    """Returns the number of values of a channel in all processes together."""
    return world_size() * x.numel() // x.shape[1]


def _synchronised(norm: nn.BatchNorm2d) -> GlobalBatchNorm2d:
    twin = GlobalBatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum).to(norm.weight)
    twin.load_state_dict(norm.state_dict())
    return twin.train(norm.training)
