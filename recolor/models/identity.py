"""What identifies weights and trained models in keys: their content, not their path. Loads torch only for hubs."""

from pathlib import Path

from recolor.errors import WeightsError
from recolor.models.pretrained import models_folder
from recolor.paths import expand_user
from recolor.pipeline.cache import Record, fingerprint, sha256_file

IMAGENET = "imagenet"
NONE = "none"
PRETRAINED = "pretrained"
MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
RESNET101 = "resnet101"
RESNET101_FILE = "resnet101-cd907fc2.pth"  # of torchvision's hub


def weights_kind(weights: str) -> str:
    """Returns `imagenet`, `none` or `file`, for keys and model configs, which contain no paths."""
    return weights if weights in (IMAGENET, NONE) else "file"


def encoder_identity(weights: str, encoder: str = RESNET101) -> str:
    """Returns the identity of weights, for keys; it does not depend on their path.

    Args:
        weights: `imagenet`, `none` or the path of a state dict.
        encoder: `resnet101`, an EfficientNet-Lite or a network of timm.

    Raises:
        WeightsError: There is no such file or package, or timm has no such weights.
    """
    if weights == NONE:
        return NONE
    if weights == IMAGENET:
        return f"{IMAGENET} {_imagenet_identity(encoder)}"
    return f"file {sha256_file(existing_weights(weights))}"


def _imagenet_identity(encoder: str) -> str:
    if encoder == RESNET101:
        return RESNET101_FILE
    from recolor.models.backbones import backbone_identity  # noqa: PLC0415 - these load torch
    from recolor.models.efficientnet import LITE, lite_identity  # noqa: PLC0415

    return lite_identity(encoder) if encoder in LITE else backbone_identity(encoder)


def existing_weights(weights: str) -> Path:
    """Returns the path of a state dict.

    Raises:
        WeightsError: There is no such file.
    """
    path = expand_user(weights)
    if not path.is_file():
        raise WeightsError(
            f"encoder_weights = {weights!r}: there is no such file. Allowed: `imagenet` (from torchvision's or"
            " timm's hub), the PATH of a state dict (.pth or .safetensors), or `none` (random weights)."
        )
    return path


def start_folder(start_from: str, kind: str) -> Path:
    """Returns the folder of the model that a training starts from.

    Args:
        start_from: `pretrained`, or a folder that contains the model in a subfolder named after its kind.
        kind: `generator` or `refiner`.
    """
    return (models_folder() if start_from == PRETRAINED else expand_user(start_from)) / kind


def start_identity(start_from: str, kind: str) -> str:
    """Returns the identity of the weights that a training starts from, for keys.

    It does not depend on their path.

    Raises:
        WeightsError: There is no such model.
    """
    return _trained_identity(start_from, kind, f"{kind}.start_from", "an empty text to start from new weights")


def teacher_identity(teacher: str) -> str:
    """Returns the identity of a generator that another one learns from, for keys: its weights and its config.

    Args:
        teacher: As for `start_folder`.

    Raises:
        WeightsError: There is no such model.
    """
    without = "an empty list to train without teachers"
    weights = _trained_identity(teacher, "generator", "generator.teachers", without)
    config = start_folder(teacher, "generator") / CONFIG_FILE
    return f"file {fingerprint([weights, sha256_file(config) if config.is_file() else NONE])}"


def _trained_identity(source: str, kind: str, setting: str, without: str) -> str:
    path = start_folder(source, kind) / MODEL_FILE
    if not path.is_file():
        raise WeightsError(
            f"{setting} = {source!r}: there is no {path}. Allowed: `pretrained`, a folder that contains"
            f" {kind}/{MODEL_FILE}, or {without}."
        )
    return f"file {sha256_file(path)}"


def model_content(record: Record) -> str:
    """Returns the fingerprint of a trained model's weights and config from its record."""
    names = (MODEL_FILE, CONFIG_FILE)
    return fingerprint([output.sha256 for output in record.outputs if output.path.endswith(names)])
