"""Encoders of timm: any backbone with features at strides of 4, 8, 16 and 32, for greyscale images.

timm is imported when such an encoder is asked for: it takes seconds, as it brings torchvision along.
"""

import urllib.request
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from recolor.errors import WeightsError
from recolor.models.depthwise import train_depthwise_in_float32
from recolor.models.efficientnet import LITE, EfficientNetLite
from recolor.models.encoder import Encoder, grey_from_lightness
from recolor.models.identity import RESNET101

STRIDES = (4, 8, 16, 32)
_HUB_TIMEOUT_S = 10
_HUB_FILE = "model.safetensors"


class Backbone(nn.Module):
    """The features of one of timm's networks, with a stem for one channel.

    Its weights are random, as timm initialises them; `load_backbone_weights` loads pretrained ones.

    Args:
        name: Name of a network of timm.
        depth: Number of features, 1 to 4: at strides 4, 8, 16, 32.

    Attributes:
        channels: Number of channels of each feature, the finest first.

    Raises:
        WeightsError: timm is not installed, does not know the network, or it has no features at these strides.
    """

    def __init__(self, name: str, depth: int) -> None:
        super().__init__()
        self.name = name
        self.depth = depth
        self.network = _create(name, depth)
        train_depthwise_in_float32(self.network)
        self.channels: tuple[int, ...] = tuple(self.network.feature_info.channels())
        config: Mapping[str, Any] = self.network.pretrained_cfg
        self.grey_mean = sum(config["mean"]) / len(config["mean"])
        self.grey_std = sum(config["std"]) / len(config["std"])

    def forward(self, L: Tensor) -> list[Tensor]:
        """Returns the features of each level.

        Args:
            L: Lightness [N,1,H,W], float32, 0..100.

        Returns:
            One tensor per level, [N,C,H/s,W/s] for s = 4, 8, 16, 32; the network decides whether sizes are rounded up
            or down.
        """
        features = self.network((grey_from_lightness(L) - self.grey_mean) / self.grey_std)
        # Some transformers of timm return [N,H,W,C].
        return [x if x.shape[1] == count else x.permute(0, 3, 1, 2) for x, count in zip(features, self.channels)]


def make_encoder(name: str, depth: int) -> Encoder | EfficientNetLite | Backbone:
    """Returns an encoder with random weights.

    Args:
        name: `resnet101`, `efficientnet_lite0` to `efficientnet_lite2`, or the name of a network of timm.
        depth: Number of features, 1 to 4: at strides 4, 8, 16, 32.

    Raises:
        WeightsError: There is no such network; the message names what there is.
    """
    if name == RESNET101:
        return Encoder(depth)
    return EfficientNetLite(name, depth) if name in LITE else Backbone(name, depth)


def load_backbone_weights(backbone: Backbone, state: Mapping[str, Tensor] | None) -> None:
    """Loads ImageNet's weights into a backbone; those of the stem are summed over R, G and B.

    Args:
        backbone: The encoder.
        state: State dict of the whole network, by timm's names. None: the weights of timm's hub.

    Raises:
        WeightsError: They are not available, or not this network's.
    """
    source = {} if state is None else {"state_dict": _with_all_names(backbone, state)}
    try:
        pretrained = _create(backbone.name, backbone.depth, pretrained=True, pretrained_cfg_overlay=source)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        if state is None:
            raise hub_error(backbone.name, error) from error
        raise WeightsError(f"not the state dict of timm's {backbone.name} ({_one_line(error)})") from error
    backbone.network.load_state_dict(pretrained.state_dict())


def check_backbone(name: str, depth: int) -> None:
    """Checks that timm has a network of that name, with features at these strides.

    Raises:
        WeightsError: It has not; the message names the nearest names, or what to install.
    """
    with torch.device("meta"):
        _create(name, depth)


def check_backbone_hub(name: str) -> None:
    """Checks, within seconds, that ImageNet's weights are cached, or can be downloaded.

    Raises:
        WeightsError: They are not; the message says what to do.
    """
    hub = _hub_id(name)
    from huggingface_hub import hf_hub_url, try_to_load_from_cache  # noqa: PLC0415 - comes with timm

    if isinstance(try_to_load_from_cache(hub, _HUB_FILE), str):
        return
    request = urllib.request.Request(hf_hub_url(hub, _HUB_FILE), method="HEAD")  # noqa: S310 - the hub's https address
    try:
        with urllib.request.urlopen(request, timeout=_HUB_TIMEOUT_S):  # noqa: S310 - as above
            pass
    except OSError as error:
        raise hub_error(name, error) from error


def backbone_identity(name: str) -> str:
    """Returns the identity of ImageNet's weights of a network, for keys: their name in timm's hub.

    Raises:
        WeightsError: There are no such weights.
    """
    return f"timm {_hub_id(name)}"


def hub_error(name: str, error: Exception) -> WeightsError:
    """Returns the error for weights of the hub that cannot be had; it names the alternatives."""
    return WeightsError(
        f"encoder_weights = 'imagenet': {_hub_id(name)} cannot be downloaded from timm's hub ({_one_line(error)})."
        f" Connect to the network. Or give encoder_weights another value: the PATH of a state dict of timm's {name}, or"
        " `none` to start from random weights."
    )


def _create(name: str, depth: int, **options: Any) -> Any:
    timm = _timm()
    if not timm.is_model(name):
        near = get_close_matches(name, [*LITE, *timm.list_models()], 3, 0.5)
        nearest = f" Nearest: {', '.join(near)}." if near else ""
        raise WeightsError(
            f"encoder = {name!r}: not {RESNET101} or {', '.join(LITE)}, and timm has no network of that name.{nearest}"
            " `timm.list_models()` lists them."
        )
    try:
        with torch.device("meta"):
            strides = timm.create_model(name, features_only=True).feature_info.reduction()
    except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
        raise WeightsError(f"encoder = {name!r}: timm gives no features of it ({_one_line(error)})") from error
    levels = [level for level, stride in enumerate(strides) if stride in STRIDES[:depth]]
    if len(levels) < depth:
        raise WeightsError(
            f"encoder = {name!r}: it has features at strides {list(strides)}, needed are {list(STRIDES[:depth])}."
            " Lower encoder_depth, or choose another network."
        )
    return timm.create_model(name, features_only=True, in_chans=1, out_indices=levels, **options)


def _timm() -> ModuleType:
    if find_spec("timm") is None:
        raise WeightsError(
            "the package `timm` is not installed. Run `pip install 'recolor[encoders]'` (in Recolor's folder"
            " `pip install -c constraints.txt '.[encoders]'`), or set encoder to a network that needs none:"
            f" {', '.join((RESNET101, *LITE))}."
        )
    import timm  # noqa: PLC0415 - takes seconds, and is an extra

    module: ModuleType = timm
    return module


def _hub_id(name: str) -> str:
    config = _timm().get_pretrained_cfg(name)
    hub = config.hf_hub_id if config is not None else None
    if not hub:
        raise WeightsError(
            f"encoder_weights = 'imagenet': timm has no pretrained weights of {name}. Allowed: the PATH of"
            " a state dict, or `none` (random weights)."
        )
    return str(hub)


def _with_all_names(backbone: Backbone, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a state dict that the backbone has, after a check that the whole network's are there.

    What a backbone leaves out (the classifier) is left out, or timm would warn of it.

    Raises:
        WeightsError: It is the state dict of another network.
    """
    with torch.device("meta"):
        whole = _timm().create_model(backbone.name).state_dict()
    classifier = backbone.network.pretrained_cfg.get("classifier") or ()
    left_out = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    missing = [name for name in whole if name not in state and not name.startswith(left_out)]
    if missing:
        raise WeightsError(
            f"not the state dict of timm's {backbone.name}. Missing ({len(missing)}): {', '.join(missing[:5])}."
        )
    wanted = backbone.network.state_dict()
    return {name: state[name] for name in wanted} if set(wanted) <= set(state) else dict(state)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
