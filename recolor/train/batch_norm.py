"""Batch norm over the batch of all processes that train one model together.

Each normalises its share with the mean and variance of the whole batch, as one process would (Ioffe and Szegedy 2015,
algorithm 1), and keeps the same running statistics. Names of parameters and buffers are those of `nn.BatchNorm2d`.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from recolor.train.group import averaged, own_share


def with_global_batch_norm(model: nn.Module) -> nn.Module:
    """Gives a model, in place, batch norms that see the whole batch; does nothing for a training of one process.

    On CUDA they are torch's own, which are fast there and refuse a CPU's tensors.
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
    """Batch norm of [N,C,H,W] over N, H, W and the processes, each of which has as many images, on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N,C,H,W] to the same shape and type; computed in float32 or, where `x` is, float64."""
        if not self.training:
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = _mean_of_group(wide.mean((0, 2, 3)))
        centred = wide - _per_channel(mean)
        variance = _mean_of_group(centred.square().mean((0, 2, 3)))
        self._remember(mean, variance, own_share().of * x.numel() // x.shape[1])
        normal = centred * _per_channel((variance + self.eps).rsqrt())
        return (normal * _per_channel(self.weight) + _per_channel(self.bias)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Moves the running statistics; theirs is the unbiased variance of all `count` values of a channel."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked += 1


class _MeanOfGroup(torch.autograd.Function):
    """The mean over the processes. Each one's value is in every one's loss, by the same share: so are gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        return averaged(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        return averaged(gradients[0])


def _mean_of_group(values: Tensor) -> Tensor:
    mean: Tensor = _MeanOfGroup.apply(values)
    return mean


def _global(norm: nn.BatchNorm2d) -> GlobalBatchNorm2d:
    twin = GlobalBatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum).to(norm.weight)
    twin.load_state_dict(norm.state_dict())
    return twin.train(norm.training)


def _per_channel(values: Tensor) -> Tensor:
    return values[:, None, None]
