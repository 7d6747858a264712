"""LPIPS and Inception's features: networks with weights that the user provides.

They need the extra `metrics`.

The weights are loaded as tensors only (no pickled code) before anything is measured.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recolor.config.settings import EvaluateConfig
from recolor.errors import ConfigError, WeightsError
from recolor.paths import expand_user

RGB = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

LPIPS_SOURCE = "torchvision's AlexNet, https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
INCEPTION_SOURCE = (
    "the Inception v3 that FID is defined by, https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
_LPIPS_MIN_SIDE_PX = 31  # smaller images leave no pixel for AlexNet's last layers


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks of some metrics; None if no weights are configured."""

    lpips: nn.Module | None
    inception: nn.Module | None
    device: torch.device


def load_networks(config: EvaluateConfig, device: torch.device) -> Networks:
    """Loads the networks that the settings name weights for.

    Raises:
        ConfigError: A package is not installed.
        WeightsError: A file is missing or is not the state dict of the network; the message names its source.
    """
    lpips = _load_lpips(expand_user(config.lpips_weights)).to(device) if config.lpips_weights else None
    inception = _load_inception(expand_user(config.inception_weights)).to(device) if config.inception_weights else None
    return Networks(lpips, inception, device)


@torch.inference_mode()
def lpips_distance(networks: Networks, rgb: RGB, truth: RGB) -> float | None:
    """Returns LPIPS 0.1 with AlexNet (Zhang et al. 2018), 0 for equal images, or None.

    The result is None if no weights are configured.

    Args:
        networks: Loaded networks.
        rgb: Coloured image, uint8 sRGB [H, W, 3]; sides shorter than 31 pixels are enlarged to 31.
        truth: Photograph of the same shape.
    """
    if networks.lpips is None:
        return None
    pair = torch.cat([_tensor(rgb, networks.device), _tensor(truth, networks.device)]).float() / 127.5 - 1
    if min(pair.shape[-2:]) < _LPIPS_MIN_SIDE_PX:
        size = [max(side, _LPIPS_MIN_SIDE_PX) for side in pair.shape[-2:]]
        pair = nn.functional.interpolate(pair, size, mode="bilinear")
    return float(networks.lpips(pair[:1], pair[1:]))


@torch.inference_mode()
def inception_features(networks: Networks, rgb: RGB) -> Float32Array | None:
    """Returns the features for FID and KID, float32 [2048]; None without weights.

    Args:
        networks: Loaded networks.
        rgb: uint8 sRGB [H, W, 3]; resized to 299 x 299 as TensorFlow 1 does, which is part of the definition of FID.
    """
    if networks.inception is None:
        return None
    (features,) = networks.inception(_tensor(rgb, networks.device))
    return np.asarray(features[0].cpu().numpy(), np.float32)


def _load_lpips(path: Path) -> nn.Module:
    """Returns LPIPS: linear layers from torchmetrics on AlexNet's layers from the file.

    The public class of torchmetrics downloads AlexNet; its private network can be created without a download.
    """
    _require("torchmetrics", "lpips_weights")
    state = _read(path, "lpips_weights", LPIPS_SOURCE)
    from torchmetrics.functional.image.lpips import _LPIPS  # noqa: PLC0415 - of an extra, and seconds to load

    network = _LPIPS(net="alex", pnet_rand=True)
    layers = {_of_torchvision(name): tensor for name, tensor in network.net.state_dict().items()}
    _check_shapes(path, "lpips_weights", LPIPS_SOURCE, state, layers)
    network.net.load_state_dict({name: state[_of_torchvision(name)] for name in network.net.state_dict()})
    return network


def _load_inception(path: Path) -> nn.Module:
    _require("torch_fidelity", "inception_weights")
    _read(
        path, "inception_weights", INCEPTION_SOURCE
    )  # checked here: torch-fidelity would run pickled code in the file
    from torch_fidelity.feature_extractor_inceptionv3 import (  # noqa: PLC0415 - of an extra, and seconds to load
        FeatureExtractorInceptionV3,
    )

    try:
        network: nn.Module = FeatureExtractorInceptionV3("inception", ["2048"], str(path))
    except RuntimeError as error:  # from load_state_dict: names or shapes
        raise _not_the_network(path, "inception_weights", INCEPTION_SOURCE, str(error)) from error
    return network


def _of_torchvision(name: str) -> str:
    """Returns torchvision's name of a layer: `features.3.weight` for LPIPS' `slice2.3.weight`."""
    return f"features.{name.partition('.')[2]}"


def _check_shapes(
    path: Path, setting: str, source: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    for name, tensor in wanted.items():
        if name not in state:
            raise _not_the_network(path, setting, source, f"{name} is missing")
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
            raise _not_the_network(path, setting, source, f"{name} is {shapes}")


def _require(package: str, setting: str) -> None:
    if find_spec(package) is None:
        raise ConfigError(
            f"evaluate.{setting}: the package `{package}` is not installed. Run `pip install 'recolor[metrics]'` (in"
            " Recolor's folder `pip install -c constraints.txt '.[metrics]'`), or leave the setting out."
        )


def _read(path: Path, setting: str, source: str) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise WeightsError(
            f"evaluate.{setting} = '{path}': there is no such file. Download {source}, and set its path."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise _not_the_network(path, setting, source, str(error)) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise _not_the_network(path, setting, source, "it does not contain named tensors")
    return state


def _not_the_network(path: Path, setting: str, source: str, why: str) -> WeightsError:
    return WeightsError(
        f"evaluate.{setting} = '{path}': these are not the weights of the network ({' '.join(why.split())[:200]})."
        f" Download {source}, and set its path."
    )


def _tensor(rgb: RGB, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].to(device)
