"""The presets `default`, `quick` and `demo`.

`default` is for a GPU and a large data set, `quick` for a first look on a CPU, `demo` for a few minutes.
"""

from dataclasses import replace
from typing import Literal, get_args

from recolor.config.settings import (
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
    """Returns the settings of a preset."""
    return {"default": Config, "quick": _quick, "demo": _demo}[name]()


def _quick() -> Config:
    """Returns settings that train for about ten minutes on two cores.

    They serve to try every stage on one's own photographs. The squares have 128 px and are not cropped: a small model
    learns more from a whole scene at low resolution than from a quarter of it.
    """
    train = TrainConfig(
        steps=2400,
        batch_images=8,
        lr=1e-3,
        warmup_steps=40,
        ema_decay=0.99,
        checkpoint_steps=100,
        validate_steps=200,
        crop_px=128,
    )
    return Config(
        shard=ShardConfig(size_px=128),
        generator=GeneratorConfig(
            model=GeneratorModelConfig(encoder_weights="none", width=64, blocks=4), train=train, rebalance=0.9
        ),
        refiner=RefinerConfig(
            model=RefinerModelConfig(encoder_weights="none", width=32, blocks=4),
            train=replace(train, steps=800, lr=2e-3),
            predicted_fraction=0.25,
        ),
        evaluate=EvaluateConfig(max_images=300),
    )


def _demo() -> Config:
    """Returns settings for a few hundred rendered landscapes.

    Training takes two minutes on two cores: the encoder is small, and the generator sees scenes of 64 px.
    """
    quick = _quick()
    encoder = "efficientnet_lite0"
    train = replace(quick.generator.train, steps=550, lr=1.5e-3, warmup_steps=20, ema_decay=0.97, checkpoint_steps=25)
    return replace(
        quick,
        select=SelectConfig(val_fraction=0.1, test_fraction=0.1),
        shard=replace(quick.shard, max_shard_images=128),
        generator=replace(
            quick.generator,
            model=replace(quick.generator.model, encoder=encoder, encoder_depth=3, scale=2),
            train=train,
        ),
        refiner=replace(
            quick.refiner,
            model=replace(quick.refiner.model, encoder=encoder, width=16, blocks=2),
            train=replace(train, steps=120, lr=2e-3),
        ),
        execution=ExecutionConfig(part_images=128),
    )
