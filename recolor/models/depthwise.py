"""Depthwise convolutions that are trained in float32 on a CPU: their gradients are slow in bfloat16."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


class Float32Depthwise(nn.Conv2d):
    """Mixin of a depthwise convolution: under bfloat16 autocast on a CPU, it is trained in float32.

    In bfloat16 the gradients take up to 18 times as long (oneDNN of torch 2.15).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns the convolution of `x` [N,C,H,W], in its dtype or that of autocast."""
        if x.dtype == torch.bfloat16 and x.device.type == "cpu" and torch.is_grad_enabled():
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float()).to(x.dtype)
        return super().forward(x)


def is_depthwise(module: nn.Module) -> bool:
    """Whether a module is a convolution of each channel by itself."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels


def train_depthwise_in_float32(network: nn.Module) -> None:
    """Makes the depthwise convolutions of a network instances of `Float32Depthwise`, of their own class, too.

    The network keeps its parameters and their names.
    """
    for module in network.modules():
        if is_depthwise(module) and not isinstance(module, Float32Depthwise):
            kind: Any = type(module)
            module.__class__ = _with_float32(kind)


@cache
def _with_float32(kind: type[Any]) -> type[Any]:
    return type(f"Float32{kind.__name__}", (Float32Depthwise, kind), {})
