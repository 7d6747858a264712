"""Measured limits of a device, with which the rates of a training are compared."""

import platform
from dataclasses import dataclass

import torch
from torch.nn import functional

from recolor.bench.timing import fastest_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Rates of a device, each the best of several runs.

    Attributes:
        device: Name of the device.
        threads: Number of torch's threads on a CPU; 0 on a GPU.
        dtype: Data type of the training's products and of the rates below.
        matrix_flop_per_s: Matrix rate: rate of the product of two large square matrices.
        float32_flop_per_s: Matrix rate in float32, with torch's default precision.
        convolution_flop_per_s: Rate of a 3x3 convolution of 64 channels at 56x56, forward and backward, channels
            last: what layers like those of the models can reach.
        copy_bytes_per_s: Memory bandwidth: bytes read plus bytes written by copying a large tensor, per second.
    """

    device: str
    threads: int
    dtype: str
    matrix_flop_per_s: float
    float32_flop_per_s: float
    convolution_flop_per_s: float
    copy_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Sizes large enough to reach the limit and exceed the caches, but small enough to be fast."""

    matrix: int
    copied_bytes: int
    images: int
    times: int


_SIZES = {"cpu": _Sizes(4096, 512 << 20, 8, 4), "cuda": _Sizes(8192, 2 << 30, 256, 20)}
_CHANNELS, _SIDE_PX = 64, 56


def measure_limits(device: torch.device, dtype: torch.dtype) -> Limits:
    """Measures the limits of a device within seconds.

    Args:
        device: The CPU, with torch's current number of threads, or a CUDA device.
        dtype: Data type of the training's products: float32 or bfloat16.
    """
    float32 = _matrix_flop_per_s(device, torch.float32)
    return Limits(
        device=_name(device),
        threads=0 if device.type == "cuda" else torch.get_num_threads(),
        dtype=str(dtype).removeprefix("torch."),
        matrix_flop_per_s=float32 if dtype == torch.float32 else _matrix_flop_per_s(device, dtype),
        float32_flop_per_s=float32,
        convolution_flop_per_s=_convolution_flop_per_s(device, dtype),
        copy_bytes_per_s=_copy_bytes_per_s(device),
    )


def _matrix_flop_per_s(device: torch.device, dtype: torch.dtype) -> float:
    sizes = _SIZES[device.type]
    left, right = (torch.randn(sizes.matrix, sizes.matrix, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * sizes.matrix**3 / fastest_s(lambda: torch.mm(left, right, out=out), device, sizes.times)


def _convolution_flop_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """Returns the rate of a convolution, forward and backward.

    The backward pass is two products of the forward pass's size, for the gradients of input and of weight.
    """
    sizes = _SIZES[device.type]
    shape = (sizes.images, _CHANNELS, _SIDE_PX, _SIDE_PX)
    x = torch.randn(shape, device=device).to(dtype, memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(_CHANNELS, _CHANNELS, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    weight.requires_grad_()
    gradient = torch.ones_like(x)
    flop = 3 * 2 * x.numel() * _CHANNELS * 9

    def forward_and_backward() -> None:
        torch.autograd.grad(functional.conv2d(x, weight, padding=1), (x, weight), gradient)

    return flop / fastest_s(forward_and_backward, device, sizes.times)


def _copy_bytes_per_s(device: torch.device) -> float:
    sizes = _SIZES[device.type]
    source = torch.ones(sizes.copied_bytes, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * sizes.copied_bytes / fastest_s(lambda: target.copy_(source), device, sizes.times)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, str])()  # not in older torch
    return str(capabilities.get("cpu_name") or platform.processor() or platform.machine())
