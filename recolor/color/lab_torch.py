"""sRGB to CIELAB and back in torch, differentiable; the same formulas and constants as `recolor.color.lab`.

Always float32 and without matrix products: autocast or TF32 would round those to 8 or 11 bits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from recolor.color.lab import (
    CODE_LOW,
    CODE_STEP,
    RELATIVE_XYZ_FROM_RGB,
    RGB_FROM_RELATIVE_XYZ,
    TOE_F,
    TOE_OFFSET,
    TOE_SLOPE,
    TOE_T,
)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Converts sRGB to CIELAB (D65, 2°).

    Args:
        rgb: [N, 3, H, W], 0..1.

    Returns:
        float32 [N, 3, H, W]: L 0..100, a and b in Lab units; within 1e-3 ΔE76 of `skimage.color.rgb2lab` in float64.
        Gradients are finite everywhere, at black too.
    """
    return _lab_from_f(_cube_root(_mix(srgb_to_linear(rgb.float()), RELATIVE_XYZ_FROM_RGB.tolist())))


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Converts CIELAB to sRGB; colours outside of the gamut are clipped channel by channel.

    Args:
        lab: [N, 3, H, W], L 0..100.

    Returns:
        float32 [N, 3, H, W], 0..1. Gradients are finite everywhere, and zero where a channel is clipped.
    """
    fx, fy, fz = _f_from_lab(lab.float()).unbind(1)
    f = torch.stack((fx, fy, fz.clamp(min=0.0)), 1)  # as skimage does: no light of less than nothing
    return linear_to_srgb(_mix(_cube(f), RGB_FROM_RELATIVE_XYZ.tolist()).clamp(0.0, 1.0))


def decode_lab(codes: Tensor) -> Tensor:
    """The Lab values that codes of the code book stand for.

    Args:
        codes: uint8 [N, 3, H, W].

    Returns:
        float32 [N, 3, H, W]: `CODE_LOW + codes * CODE_STEP`, channel by channel.
    """
    lab = codes.float()
    for channel, step, low in zip(lab.unbind(1), CODE_STEP, CODE_LOW):
        channel.mul_(step).add_(low)  # numbers, not tensors: to copy those to a CUDA device, the host would wait for it
    return lab


def scale_light(lab: Tensor, factor: Tensor) -> Tensor:
    """Changes the exposure: multiplies the linear light of each image, so that L, a and b change together.

    XYZ is linear in light, so each t = X/Xn, Y/Yn, Z/Zn becomes `factor` t. Above the toe of f(t) = t^(1/3)
    (CIE 15:2018, section 8.2.1) f is scaled by factor^(1/3), and with it L + 16, a and b; in the toe, f is a
    line and is scaled as such.

    Args:
        lab: [N, 3, H, W], L 0..100.
        factor: [N], above 0.

    Returns:
        float32 [N, 3, H, W], L clipped to 0..100.
    """
    light = _cube(_f_from_lab(lab.float())) * factor.float().view(-1, 1, 1, 1)
    scaled = _lab_from_f(_cube_root(light))
    return torch.cat((scaled[:, :1].clamp(0.0, 100.0), scaled[:, 1:]), 1)


def _mix(channels: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """Multiplies each pixel's three channels by a 3x3 matrix."""
    first, second, third = channels.unbind(1)
    return torch.stack([row[0] * first + row[1] * second + row[2] * third for row in matrix], 1)


def _lab_from_f(f: Tensor) -> Tensor:
    """CIE 15:2018, section 8.2.1: L = 116 f_y - 16, a = 500 (f_x - f_y), b = 200 (f_y - f_z)."""
    fx, fy, fz = f.unbind(1)
    return torch.stack((116.0 * fy - 16.0, 500.0 * (fx - fy), 200.0 * (fy - fz)), 1)


def _f_from_lab(lab: Tensor) -> Tensor:
    lightness, a, b = lab.unbind(1)
    fy = (lightness + 16.0) / 116.0
    return torch.stack((fy + a / 500.0, fy, fy - b / 200.0), 1)


# In the four curves the argument of a power is kept away from 0, where its slope is infinite: `where` would multiply
# that infinite slope by 0 in the branch not taken, and NaN would reach the weights.


def _cube_root(t: Tensor) -> Tensor:
    """CIE's f(t)."""
    return torch.where(t > TOE_T, t.clamp(min=TOE_T).pow(1 / 3), TOE_SLOPE * t + TOE_OFFSET)


def _cube(f: Tensor) -> Tensor:
    """The inverse of CIE's f(t)."""
    return torch.where(f > TOE_F, f * f * f, (f - TOE_OFFSET) / TOE_SLOPE)


def srgb_to_linear(value: Tensor) -> Tensor:
    """Returns linear light 0..1 of sRGB values 0..1 (IEC 61966-2-1)."""
    return torch.where(value > 0.04045, ((value.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4), value / 12.92)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Returns sRGB values 0..1 of linear light 0..1 (IEC 61966-2-1)."""
    curve = 1.055 * linear.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curve, 12.92 * linear)
