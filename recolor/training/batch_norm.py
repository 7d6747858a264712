"""Batch norm over the batch of all processes that train one model together.

Each normalises its share with the mean and variance of the whole batch, as one process would (Ioffe and Szegedy 2015,
algorithm 1), and keeps the same running statistics. Names of parameters and buffers are those of `nn.BatchNorm2d`.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from recolor.training.distributed import gathered, own_share, summed


def with_global_batch_norm(model: nn.Module) -> nn.Module:
    """Gives a model, in place, batch norms that see the whole batch; does nothing for a training of one process.

    On CUDA they are torch's own, which refuse a CPU's tensors.
    """
    if not dist.is_initialized():
        return model
    if next(model.parameters()).device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call,no-any-return]
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _global(child))
    return model


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of [N,C,H,W] over N, H, W and the processes, each of which has as many images, on a CPU.

    Statistics are float32, or float64 where the parameters are.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N,C,H,W] to the same shape and type."""
        if not self.training:
            return super().forward(x)
        statistics = _statistics(x.detach(), self.weight)
        self._remember(statistics, _values(x))
        out: Tensor = _Normalise.apply(x, torch.stack([self.weight, self.bias]), statistics, self.eps)
        return out

    @torch.no_grad()
    def _remember(self, statistics: Tensor, count: int) -> None:
        """Moves the running statistics; theirs is the unbiased variance of all `count` values of a channel."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        mean, variance = statistics
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked.add_(1)


class _Normalise(torch.autograd.Function):
    """Scales and shifts with given statistics; its gradient is that of statistics taken from all processes' values.

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
        dx, *own = torch.ops.aten.native_batch_norm_backward(  # with the statistics taken for constants
            gradients[0], x, weight, mean, variance, mean, per_std, False, ctx.eps, [True, True, True]
        )
        daffine = torch.stack(own)
        of_x, of_all = weight * per_std * summed(daffine) / _values(x)
        dx.sub_(functional.batch_norm(x, mean, variance, of_x, of_all, eps=ctx.eps))
        return dx, daffine, None, None


def _statistics(x: Tensor, like: Tensor) -> Tensor:
    """Mean and variance, [2,C], over all processes: those of each, put together (Chan et al. 1979)."""
    own = torch.batch_norm_update_stats(x, torch.zeros_like(like), torch.zeros_like(like), 0.0)
    means, variances = gathered(torch.stack(own)).unbind(1)
    mean = means.mean(0)
    return torch.stack([mean, (variances + (means - mean).square()).mean(0)])


def _values(x: Tensor) -> int:
    """How many values a channel has in all processes."""
    return own_share().of * x.numel() // x.shape[1]


def _global(norm: nn.BatchNorm2d) -> GlobalBatchNorm2d:
    twin = GlobalBatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum).to(norm.weight)
    twin.load_state_dict(norm.state_dict())
    return twin.train(norm.training)
