"""Named settings: `default` for a GPU and a large set, `quick` for a first look on a CPU, `demo` for minutes."""

from dataclasses import replace
from typing import Literal, get_args

from recolor.config import (
    Config,
    EvaluateConfig,
    ExecutionConfig,
    GeneratorConfig,
    GeneratorModelConfig,
    RefinerConfig,
    RefinerModelConfig,
    SelectConfig,
    ShardConfig,
    TrainConfig,
)

Preset = Literal["default", "quick", "demo"]
PRESETS: tuple[Preset, ...] = get_args(Preset)


def preset(name: Preset) -> Config:
    """Returns the settings of that name."""
    return {"default": Config, "quick": _quick, "demo": _demo}[name]()


def _quick() -> Config:
    """A short training on a CPU: enough to see that every stage works on one's own photographs."""
    train = TrainConfig(
        steps=300,
        batch_images=16,
        lr=2e-3,
        warmup_steps=20,
        ema_decay=0.98,
        checkpoint_steps=25,
        validate_steps=50,
        crop_px=128,
    )
    return Config(
        generator=GeneratorConfig(
            model=GeneratorModelConfig(encoder_weights="none", width=64, blocks=2), train=train, rebalance=0.5
        ),
        refiner=RefinerConfig(
            model=RefinerModelConfig(encoder_weights="none", width=32, blocks=4),
            train=replace(train, steps=150, batch_images=8, lr=1e-3),
        ),
        evaluate=EvaluateConfig(max_images=300),
    )


def _demo() -> Config:
    """A few hundred rendered landscapes, coloured after minutes on two cores."""
    quick = _quick()
    return replace(
        quick,
        select=SelectConfig(val_fraction=0.1, test_fraction=0.1),
        shard=ShardConfig(max_shard_images=128),
        generator=replace(quick.generator, train=replace(quick.generator.train, steps=150)),
        refiner=replace(quick.refiner, train=replace(quick.refiner.train, steps=60)),
        execution=ExecutionConfig(part_images=128),
    )
