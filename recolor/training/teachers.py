"""Trained generators from which another one learns (knowledge distillation)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from recolor.config.settings import GeneratorConfig
from recolor.errors import ConfigError, WeightsError
from recolor.models.files import LoadedGenerator, load_generator
from recolor.models.identity import start_folder, teacher_identity

_MULTIPLE_PX = 8  # of the sides of what a generator of scale 1 sees

Teach = Callable[[Tensor], Tensor]  # from lightness [N,1,H,W] to probabilities, float32 [N,Q,H/4s,W/4s]


@dataclass(frozen=True, slots=True)
class Teacher:
    """A trained generator, and the class weights [Q] that it was trained with."""

    generator: LoadedGenerator
    weights: Tensor


def load_teachers(config: GeneratorConfig, device: torch.device | None = None) -> Sequence[Teacher]:
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


def teaching(teachers: Sequence[Teacher], weights: Tensor, image_px: int) -> Teach | None:
    """Returns the function that gives the teachers' mean distribution, None without teachers.

    Each teacher sees the picture at the size at which it was trained. Its probabilities are divided by the class
    weights that it was trained with and multiplied by those of the generator that learns, so that teachers may have
    another `rebalance`.

    Args:
        teachers: From `load_teachers`.
        weights: Class weights of the generator that learns, float32 [Q].
        image_px: Short side of whole images, in pixels, as the generator that learns sees them.
    """
    return partial(_mean_distribution, teachers, weights, image_px) if teachers else None


@torch.no_grad()
def _mean_distribution(teachers: Sequence[Teacher], weights: Tensor, image_px: int, L: Tensor) -> Tensor:
    scale = teachers[0].generator.config.scale
    small = (L.shape[-2] // (4 * scale), L.shape[-1] // (4 * scale))
    taught = [_distribution(teacher, weights, _resized(L, teacher.generator, image_px)) for teacher in teachers]
    fitted = [p if p.shape[-2:] == small else functional.interpolate(p, small, mode="bilinear") for p in taught]
    return torch.stack(fitted).mean(0)


def _distribution(teacher: Teacher, weights: Tensor, L: Tensor) -> Tensor:
    reweighted = (weights / teacher.weights).log().view(1, -1, 1, 1)
    return (teacher.generator.predict(L).float() + reweighted).softmax(1)


def _resized(L: Tensor, generator: LoadedGenerator, image_px: int) -> Tensor:
    """Returns lightness at the size at which the teacher knows it."""
    if generator.image_px == image_px:
        return L
    multiple_px = _MULTIPLE_PX * generator.config.scale
    size = [max(1, round(side * generator.image_px / image_px / multiple_px)) * multiple_px for side in L.shape[-2:]]
    return functional.interpolate(L, size, mode="bilinear", antialias=True)


def _load_teacher(teacher: str, config: GeneratorConfig, device: torch.device | None) -> Teacher:
    teacher_identity(teacher)  # that it is missing is said of the setting
    loaded = load_generator(start_folder(teacher, "generator"), device)
    weights = loaded.class_weights()
    if loaded.config.head != "distribution" or weights is None:
        raise WeightsError(f"generator.teachers = {teacher!r}: this generator predicts no distribution over ab bins.")
    if loaded.config.scale != config.model.scale:
        raise ConfigError(
            f"generator.teachers = {teacher!r}: its scale is {loaded.config.scale}, generator.model.scale is"
            f" {config.model.scale}. They must be equal."
        )
    return Teacher(loaded, weights)
