"""Initial weights of the encoder: torchvision's or timm's, a file's, or random ones, without fallback."""

import hashlib
import logging
import pickle
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from recolor.errors import WeightsError
from recolor.models.backbones import (
    Backbone,
    check_backbone,
    check_backbone_hub,
    load_backbone_weights,
    make_encoder,
)
from recolor.models.efficientnet import LITE, EfficientNetLite, lite_identity, load_lite_weights
from recolor.models.encoder import Encoder
from recolor.models.identity import IMAGENET, NONE, RESNET101, encoder_identity, existing_weights
from recolor.pipeline.cache import sha256_file

if TYPE_CHECKING:
    from torchvision.models import ResNet101_Weights

_HUB_TIMEOUT_S = 10
_OTHER_CHOICES = (
    "Or give encoder_weights another value: the PATH of a state dict (.pth or .safetensors), or `none` to"
    " start from random weights."
)

_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # DistributedDataParallel, torch.compile, Lightning

_log = logging.getLogger(__name__)


def check_encoder_weights(weights: str, encoder: str = RESNET101, depth: int = 3) -> None:
    """Checks, within seconds and before hours of other work, that network and weights are available.

    Args:
        weights: `imagenet`, `none` or the path of a state dict.
        encoder: `resnet101`, an EfficientNet-Lite or a network of timm.
        depth: Number of features that are used.

    Raises:
        WeightsError: There is no such network or file, it is not of this network, or the hub cannot be reached.
    """
    if encoder != RESNET101 and encoder not in LITE:
        check_backbone(encoder, depth)
    if weights == IMAGENET:
        _check_imagenet(encoder)
    elif weights != NONE:
        load_encoder_weights(make_encoder(encoder, depth), weights)


def _check_imagenet(encoder: str) -> None:
    if encoder == RESNET101:
        _check_hub()
    elif encoder in LITE:
        lite_identity(encoder)
    else:
        check_backbone_hub(encoder)


def load_encoder_weights(encoder: Encoder | EfficientNetLite | Backbone, weights: str) -> str:
    """Loads the initial weights into the encoder; those of the stem are summed over R, G and B.

    Args:
        encoder: An encoder with random weights, which `none` keeps.
        weights: `imagenet`, `none` or the path of a state dict.

    Returns:
        SHA-256, in hexadecimal, of the encoder's names and tensors.

    Raises:
        WeightsError: They are not available or not this network's; the message names the alternatives.
    """
    name = RESNET101 if isinstance(encoder, Encoder) else encoder.name
    if weights != NONE:
        _load(encoder, weights)
    sha256 = tensors_sha256(encoder.state_dict())
    _log.info("%s encoder weights: %s, sha256 of the tensors used %s", name, encoder_identity(weights, name), sha256)
    return sha256


def _load(encoder: Encoder | EfficientNetLite | Backbone, weights: str) -> None:
    if isinstance(encoder, Encoder):
        state = read_resnet101(weights, encoder)
        encoder.load_state_dict({name: _adapted(name, state[name]) for name in encoder.state_dict()})
        return
    tensors = None if weights == IMAGENET else _read_file(existing_weights(weights))
    try:
        if isinstance(encoder, EfficientNetLite):
            load_lite_weights(encoder, tensors)
        else:
            load_backbone_weights(encoder, tensors)
    except WeightsError as error:
        raise error if weights == IMAGENET else WeightsError(f"{weights}: {error}") from error


def read_resnet101(weights: str, encoder: Encoder) -> Mapping[str, Tensor]:
    """Returns the state dict of a ResNet101, with a stem for R, G and B.

    Args:
        weights: `imagenet` or the path of a state dict.
        encoder: The state dict must contain its tensors.

    Raises:
        WeightsError: It is not available or not a ResNet101's; the message names the alternatives.
    """
    state = _download() if weights == IMAGENET else _read_file(existing_weights(weights))
    _check_names(state, encoder, weights)
    return state


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256, in hexadecimal, of names, dtypes, shapes and values, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _adapted(name: str, tensor: Tensor) -> Tensor:
    return tensor.sum(dim=1, keepdim=True) if name == "conv1.weight" else tensor


def _read_file(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as a state dict ({_one_line(error)}). {_OTHER_CHOICES}") from error
    state = _unwrapped(state)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: not a state dict (names and tensors). {_OTHER_CHOICES}")
    return state


def _unwrapped(state: object) -> Any:
    """Returns the state dict inside what training programs save: checkpoints, and models in wrappers."""
    while isinstance(state, Mapping) and (key := next((key for key in _CHECKPOINT_KEYS if key in state), None)):
        state = state[key]
    while isinstance(state, Mapping) and state and (prefix := _common_prefix(state)):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _common_prefix(state: Mapping[Any, object]) -> str | None:
    return next((prefix for prefix in _WRAPPERS if all(str(name).startswith(prefix) for name in state)), None)


def _check_names(state: Mapping[str, Tensor], encoder: Encoder, weights: str) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    wanted = {name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}
    wanted["conv1.weight"] = (64, 3, 7, 7)
    missing = [name for name in wanted if name not in state]
    unlike = [
        f"{name} {tuple(state[name].shape)} instead of {shape}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if missing or unlike:
        raise WeightsError(
            f"{weights}: not the state dict of torchvision's ResNet101. Missing ({len(missing)}):"
            f" {', '.join(missing[:5]) or '-'}. With another shape ({len(unlike)}): {', '.join(unlike[:5]) or '-'}."
        )


def _hub_weights() -> "ResNet101_Weights":
    """Returns torchvision's name for the weights. Imported here, as it takes seconds that no other run should pay."""
    from torchvision.models import ResNet101_Weights  # noqa: PLC0415  as the docstring says

    return ResNet101_Weights.IMAGENET1K_V2


def _download() -> Mapping[str, Tensor]:
    _check_hub_hash()
    try:
        state: Mapping[str, Tensor] = _hub_weights().get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise _hub_error(error) from error
    return state


def _check_hub() -> None:
    if _cached_hub_file().is_file():
        _check_hub_hash()
        return
    request = urllib.request.Request(_hub_weights().url, method="HEAD")  # noqa: S310  (torchvision's https address)
    try:
        with urllib.request.urlopen(request, timeout=_HUB_TIMEOUT_S):  # noqa: S310  (as above)
            pass
    except OSError as error:
        raise _hub_error(error) from error


def _check_hub_hash() -> None:
    """Checks the hash of a file in the cache; torch only checks files that it downloads."""
    cached = _cached_hub_file()
    wanted = cached.stem.rpartition("-")[2]
    if cached.is_file() and not sha256_file(cached).startswith(wanted):
        raise WeightsError(
            f"encoder_weights = 'imagenet': {cached} is not torchvision's file (its SHA-256 does not begin with"
            f" {wanted}). Delete it to have it downloaded again. {_OTHER_CHOICES}"
        )


def _cached_hub_file() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / _hub_file()


def _hub_file() -> str:
    return str(_hub_weights().url).rpartition("/")[2]


def _hub_error(error: Exception) -> WeightsError:
    return WeightsError(
        f"encoder_weights = 'imagenet': {_hub_weights().url} cannot be downloaded ({_one_line(error)}). Connect to the"
        f" network, or put the file into {torch.hub.get_dir()}/checkpoints. {_OTHER_CHOICES}"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
