"""Files of a trained model: `model.safetensors` (weights) and `config.json` (shape, facts)."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from recolor.config.loading import overlay
from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig, ShardConfig
from recolor.errors import ConfigError, WeightsError
from recolor.models.ab_bins import ab_bin_centres, class_weights
from recolor.models.generator import Generator, contrast_chroma
from recolor.models.identity import CONFIG_FILE, MODEL_FILE, start_folder, start_identity
from recolor.models.refiner import Refiner
from recolor.pipeline.storage import write_atomically

FORMAT_VERSION = 1

_log = logging.getLogger(__name__)

C = TypeVar("C", GeneratorModelConfig, RefinerModelConfig)


@dataclass(frozen=True, slots=True)
class LoadedGenerator:
    """A trained generator, in eval mode.

    Attributes:
        model: The network.
        config: Shape of the network.
        temperature: Temperature T of the annealed mean.
        saturation: Factor applied to the predicted a and b.
        details: Contents of config.json.
    """

    model: Generator
    config: GeneratorModelConfig
    temperature: float
    saturation: float
    details: Mapping[str, Any]

    @property
    def image_px(self) -> int:
        """Short side of whole images in training, in pixels, at which the model recognises objects."""
        return _image_px(self.details)

    @property
    def multiple_px(self) -> int:
        """The sides of the input must be multiples of this number of pixels."""
        return 8 * self.config.scale

    def predict_ab(
        self,
        L: Tensor,
        temperature: float | None = None,
        *,
        rebalanced: bool = True,
        chroma_contrast: float = 0.0,
    ) -> Tensor:
        """Maps L [N,1,H,W], 0..100, to ab [N,2,H/4,W/4] in Lab units.

        Args:
            L: Lightness; H and W must be multiples of `multiple_px`.
            temperature: Replaces the model's temperature of the annealed mean.
            rebalanced: Whether rare colours keep the weight that they had in training. Without it, colours are those of
                the true distribution: paler, and on average closer to the truth.
            chroma_contrast: Contrast of chroma within an image; see `contrast_chroma`.
        """
        return self.read_ab(self.predict(L), temperature, rebalanced=rebalanced, chroma_contrast=chroma_contrast)

    @torch.no_grad()
    def predict(self, L: Tensor) -> Tensor:
        """Maps L [N,1,H,W], 0..100, to the raw predictions that `read_ab` reads; see `Generator.forward`."""
        out: Tensor = self.model(L)
        return out

    def read_ab(
        self,
        out: Tensor,
        temperature: float | None = None,
        *,
        rebalanced: bool = True,
        tilt: tuple[float, float] = (0.0, 0.0),
        chroma_contrast: float = 0.0,
    ) -> Tensor:
        """Reads ab [N,2,H/4,W/4] in Lab units from raw predictions.

        Args:
            out: What `predict` returned.
            temperature: As for `predict_ab`.
            rebalanced: As for `predict_ab`.
            tilt: As for `Generator.read_ab`.
            chroma_contrast: As for `predict_ab`.
        """
        weights = None if rebalanced else self.class_weights()
        chosen = self.temperature if temperature is None else temperature
        return self.saturation * contrast_chroma(self.model.read_ab(out, chosen, weights, tilt), chroma_contrast)

    def class_weights(self) -> Tensor | None:
        """Returns the weights of the bins in training [Q], or None if the files do not say them."""
        distribution, training = self.details.get("ab_distribution"), self.details.get("training", {})
        if distribution is None or "rebalance" not in training:
            return None
        weights = class_weights(torch.tensor(distribution, dtype=torch.float64), training["rebalance"])
        return weights.to(self.model.bins.centres.device)


@dataclass(frozen=True, slots=True)
class LoadedRefiner:
    """A trained refiner, in eval mode: the network, its shape, and the contents of config.json."""

    model: Refiner
    config: RefinerModelConfig
    details: Mapping[str, Any]

    @property
    def image_px(self) -> int:
        """Short side of whole images in training, in pixels, at which the model recognises objects."""
        return _image_px(self.details)

    @torch.no_grad()
    def refine_ab(self, L: Tensor, ab_small: Tensor) -> Tensor:
        """Maps L [N,1,H,W], 0..100, and ab [N,2,H/4,W/4] to ab [N,2,H,W], both in Lab units."""
        ab: Tensor = self.model(L, ab_small)
        return ab


def save_model(folder: Path, model: nn.Module, config_json: Mapping[str, Any]) -> None:
    """Writes both files of a model. The same model gives the same bytes.

    Args:
        folder: Output folder; must exist.
        model: A Generator or a Refiner.
        config_json: `kind`, `model` (its shape) and other facts; JSON values only.
    """
    data = save({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})
    write_atomically(folder / MODEL_FILE, data)  # safetensors' own writer makes the file readable by its owner only
    text = json.dumps({"format_version": FORMAT_VERSION, **config_json}, indent=1, sort_keys=True, allow_nan=False)
    write_atomically(folder / CONFIG_FILE, (text + "\n").encode())


def copy_model(source: Path, target: Path, *, float16: bool) -> None:
    """Copies a trained model into another folder, after reading and checking its files.

    Args:
        source: Folder of `model.safetensors` and `config.json`.
        target: Output folder; must exist.
        float16: Whether to store the weights as float16; loading converts them to float32.

    Raises:
        WeightsError: A file is missing or damaged, or of a format unknown to this version; or a weight is too large
            for float16.
    """
    kind = _read_config(source, None)["kind"]
    loaded = load_generator(source) if kind == "generator" else load_refiner(source)
    save_model(target, _in_float16(loaded.model, source) if float16 else loaded.model, loaded.details)


def load_generator(folder: Path, device: torch.device | None = None) -> LoadedGenerator:
    """Loads a trained generator.

    Args:
        folder: Folder of `model.safetensors` and `config.json`.
        device: Device of the model. Default: the CPU.

    Raises:
        WeightsError: A file is missing or damaged, or of a format or of colour bins unknown to this version.
    """
    details = _read_config(folder, "generator")
    config = _shape(GeneratorModelConfig(), details, folder)
    if config.head == "distribution" and details.get("ab_bins") != bins_json():
        raise WeightsError(f"{folder / CONFIG_FILE}: `ab_bins` are not this version's colour bins. Train again.")
    temperature = _number(details, "temperature", None, folder)
    saturation = _number(details, "saturation", 1.0, folder)
    model = _with_weights(Generator(config), folder, device)
    return LoadedGenerator(model, config, temperature, saturation, details)


def load_refiner(folder: Path, device: torch.device | None = None) -> LoadedRefiner:
    """Loads a trained refiner.

    Args:
        folder: Folder of `model.safetensors` and `config.json`.
        device: Device of the model. Default: the CPU.

    Raises:
        WeightsError: A file is missing or damaged, or of a format unknown to this version.
    """
    details = _read_config(folder, "refiner")
    config = _shape(RefinerModelConfig(), details, folder)
    return LoadedRefiner(_with_weights(Refiner(config), folder, device), config, details)


def load_start(model: nn.Module, start_from: str, kind: str) -> None:
    """Loads the weights of a trained model into a new one.

    Args:
        model: A Generator or a Refiner.
        start_from: As for `start_folder`.
        kind: As for `start_folder`.

    Raises:
        WeightsError: There is no such model, or it has another shape.
    """
    identity = start_identity(start_from, kind)
    path = start_folder(start_from, kind) / MODEL_FILE
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{kind}.start_from = {start_from!r}: {path} does not fit {kind}.model ({reason}). Set {kind}.model to"
            f" the values under `model` in {path.with_name(CONFIG_FILE)}, or leave {kind}.start_from empty."
        ) from error
    _log.info("%s starts from the weights of %s, %s", kind, path.parent, identity)


def bins_json() -> list[list[float]]:
    """Returns the ab bins as in a generator's config.json: centres (a, b) in Lab units."""
    return [list(centre) for centre in ab_bin_centres()]


def _image_px(details: Mapping[str, Any]) -> int:
    return int(details.get("image_px", ShardConfig().size_px))


def _in_float16(model: nn.Module, folder: Path) -> nn.Module:
    """Returns the same model with weights and statistics rounded to float16."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.half().isfinite().all():
            raise WeightsError(f"{folder / MODEL_FILE}: {name} does not fit float16. Keep float32.")
    return model.half()


def _read_config(folder: Path, kind: str | None) -> Mapping[str, Any]:
    """Returns the config of a model of that kind; of any kind if it is None."""
    path = folder / CONFIG_FILE
    try:
        details = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        verb = f"train {kind or 'generator'}"
        raise WeightsError(f"{path}: no readable model config ({error}). `recolor {verb}` creates it.") from error
    if not isinstance(details, dict) or details.get("format_version") != FORMAT_VERSION:
        raise WeightsError(f"{path}: not of format version {FORMAT_VERSION}, the one this version reads. Train again.")
    if kind is not None and details.get("kind") != kind:
        raise WeightsError(f"{path}: this is a {details.get('kind')}, but a {kind} is needed.")
    return details


def _shape(default: C, details: Mapping[str, Any], folder: Path) -> C:
    try:
        return overlay(default, details.get("model", {}))
    except (ConfigError, AttributeError, TypeError) as error:
        raise WeightsError(f"{folder / CONFIG_FILE}: `model` is not a model's shape ({error}). Train again.") from error


def _number(details: Mapping[str, Any], name: str, default: float | None, folder: Path) -> float:
    value = details.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise WeightsError(f"{folder / CONFIG_FILE}: `{name}` is missing or no possible number. Train again.")
    return float(value)


M = TypeVar("M", Generator, Refiner)


def _with_weights(model: M, folder: Path, device: torch.device | None) -> M:
    path = folder / MODEL_FILE
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path}: no readable weights of this model ({reason}). Train again.") from error
    model.to(device or torch.device("cpu")).to(memory_format=torch.channels_last)
    model.eval().requires_grad_(False)
    return model
