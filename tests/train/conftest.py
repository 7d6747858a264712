from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from recolor.config import (
    Config,
    GeneratorConfig,
    GeneratorModelConfig,
    RefinerConfig,
    RefinerModelConfig,
    ShardConfig,
    TrainConfig,
)
from recolor.lab import encode_lab, rgb_to_lab
from recolor.manifest import write_manifest
from recolor.schemas import SHARD_INDEX
from recolor.shard_format import STAGE, VERSION, index_path
from recolor.stage import Part, run_part
from recolor.workspace import Workspace, open_workspace

SIZE_PX = 64
MakeShards = Callable[..., Workspace]


def _landscape(rng: np.random.Generator) -> np.ndarray:
    """A blue sky with soft clouds over striped green ground: colour can be told from texture."""
    horizon = int(rng.integers(20, 44))
    rgb = np.empty((SIZE_PX, SIZE_PX, 3))
    rgb[:horizon] = (90, 140, 220)
    rgb[:horizon] += np.linspace(0, 60, horizon)[:, None, None]
    rgb[horizon:] = (60, 130, 40)
    rgb[horizon:] += 40 * np.sin(np.arange(SIZE_PX) * rng.uniform(1, 2))[None, :, None]
    return (rgb + rng.normal(0, 4, rgb.shape)).clip(0, 255).astype(np.uint8)


def _make_shards(workspace: Workspace, train: int, val: int) -> Workspace:
    rng = np.random.default_rng(12)
    codes = np.stack([encode_lab(rgb_to_lab(_landscape(rng))).transpose(2, 0, 1) for _ in range(train + val)])
    splits = ["train"] * train + ["val"] * val
    workspace.shards.mkdir(parents=True, exist_ok=True)
    name = "shard-00000.npy"
    shard = Part(workspace, STAGE, VERSION, None, {}, (workspace.shards / name,))
    run_part(shard, lambda staging: (np.save(staging / name, codes), {"images": len(codes)})[1])
    rows = pa.table(
        {
            "path": [f"image {number}.jpg" for number in range(len(codes))],
            "sha256": [f"{number:064x}" for number in range(len(codes))],
            "shard": [name] * len(codes),
            "row": range(len(codes)),
            "split": splits,
            "width_px": [SIZE_PX] * len(codes),
            "height_px": [SIZE_PX] * len(codes),
        }
    ).cast(SHARD_INDEX.arrow)
    counts = {"images": len(codes), "train": train, "val": val, "test": 0}
    index = Part(workspace, STAGE, VERSION, None, {}, (index_path(workspace),))
    run_part(index, lambda staging: (write_manifest(SHARD_INDEX, rows, staging / "index.parquet"), counts)[1])
    return workspace


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Models this small gain nothing from a second thread; processes of their own read the variable."""
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_shards(tmp_path) -> MakeShards:
    """Makes a workspace with shards of little landscapes: `make_shards(name="ws", train=12, val=4)`."""

    def make(name: str = "workspace", train: int = 12, val: int = 4) -> Workspace:
        return _make_shards(open_workspace(tmp_path / name), train, val)

    return make


@pytest.fixture
def tiny() -> Config:
    """Settings of a training that takes about a second."""
    train = TrainConfig(
        steps=6,
        batch_images=4,
        lr=3e-3,
        warmup_steps=2,
        ema_decay=0.9,
        checkpoint_steps=2,
        validate_steps=3,
        crop_px=SIZE_PX,
        device="cpu",
        amp="off",
    )
    return Config(
        shard=ShardConfig(size_px=SIZE_PX),
        generator=GeneratorConfig(
            model=GeneratorModelConfig(encoder_weights="none", encoder_depth=1, width=8, blocks=1), train=train
        ),
        refiner=RefinerConfig(
            model=RefinerModelConfig(encoder_weights="none", width=8, blocks=1), train=replace(train, seed=1)
        ),
    )
