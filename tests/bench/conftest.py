from dataclasses import replace

import pytest
import torch

from recolor.bench import limits
from recolor.config.settings import (
    Config,
    GeneratorConfig,
    GeneratorModelConfig,
    RefinerConfig,
    RefinerModelConfig,
    ShardConfig,
    TrainConfig,
)

SIZE_PX = 64


@pytest.fixture(autouse=True)
def one_thread():
    """One thread: small models gain nothing from a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_limits(monkeypatch):
    """Sizes that take milliseconds; the measured limits are inaccurate."""
    monkeypatch.setitem(limits._SIZES, "cpu", limits._Sizes(matrix=64, copied_bytes=1 << 16, images=1, times=2))


@pytest.fixture
def tiny() -> Config:
    """Settings whose steps take milliseconds."""
    train = TrainConfig(steps=1000, batch_images=4, warmup_steps=2, crop_px=SIZE_PX, amp="off")
    generator = GeneratorModelConfig(encoder_weights="none", encoder_depth=1, width=8, blocks=1)
    return Config(
        shard=ShardConfig(size_px=SIZE_PX),
        generator=GeneratorConfig(model=generator, train=train),
        refiner=RefinerConfig(
            model=RefinerModelConfig(encoder_weights="none", width=8, blocks=1), train=replace(train, seed=1)
        ),
    )
