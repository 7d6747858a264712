"""Trained generators from which another one learns (knowledge distillation)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from recolor.config.settings import GeneratorConfig
from recolor.errors import ConfigError, WeightsError
from recolor.models.files import LoadedGenerator, load_generator
from recolor.models.identity import start_folder, teacher_identity


def load_teachers(config: GeneratorConfig, device: torch.device | None = None) -> Sequence[LoadedGenerator]:
    """Loads the teachers of a generator.

    Args:
        config: Settings of the generator that learns from them.
        device: Device of the teachers. Default: the CPU.

    Raises:
        ConfigError: The generator or a teacher predicts no distribution, or their scales differ.
        WeightsError: There is no such model, or it is damaged.
    """
    if config.teachers and config.model.head != "distribution":
        raise ConfigError(
            "generator.teachers: only a distribution can be learnt from teachers. Leave it empty, or set"
            " generator.model.head to `distribution`."
        )
    return [_load_teacher(teacher, config, device) for teacher in config.teachers]


@torch.no_grad()
def mean_distribution(teachers: Sequence[LoadedGenerator], weights: Tensor, L: Tensor) -> Tensor:
    """Returns the mean of what the teachers predict.

    The probabilities of each are divided by the class weights that it was trained with and multiplied by those of the
    generator that learns, so that teachers may have another `rebalance`.

    Args:
        teachers: From `load_teachers`.
        weights: Class weights of the generator that learns, float32 [Q].
        L: Lightness [N,1,H,W], float32, 0..100.

    Returns:
        Probabilities, float32 [N,Q,H/4s,W/4s]; s is the scale of the models.
    """
    return torch.stack([_distribution(teacher, weights, L) for teacher in teachers]).mean(0)


def _distribution(teacher: LoadedGenerator, weights: Tensor, L: Tensor) -> Tensor:
    own = teacher.class_weights()
    ratio = torch.ones_like(weights) if own is None else weights / own
    return (teacher.predict(L).float() + ratio.log().view(1, -1, 1, 1)).softmax(1)


def _load_teacher(teacher: str, config: GeneratorConfig, device: torch.device | None) -> LoadedGenerator:
    teacher_identity(teacher)  # that it is missing is said of the setting
    loaded = load_generator(start_folder(teacher, "generator"), device)
    if loaded.config.head != "distribution" or loaded.class_weights() is None:
        raise WeightsError(f"generator.teachers = {teacher!r}: this generator predicts no distribution over ab bins.")
    if loaded.config.scale != config.model.scale:
        raise ConfigError(
            f"generator.teachers = {teacher!r}: its scale is {loaded.config.scale}, generator.model.scale is"
            f" {config.model.scale}. They must be equal."
        )
    return loaded
