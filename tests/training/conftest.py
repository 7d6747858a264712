import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from recolor.color.lab import encode_lab, rgb_to_lab
from recolor.config.settings import (
    Config,
    GeneratorConfig,
    GeneratorModelConfig,
    RefinerConfig,
    RefinerModelConfig,
    ShardConfig,
    TrainConfig,
)
from recolor.dataset.dataset import ShardDataset
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import SHARD_INDEX
from recolor.pipeline.cache import Part, run_part
from recolor.pipeline.workspace import Workspace, open_workspace
from recolor.shards.format import STAGE, VERSION, index_path
from recolor.training import train_generator
from recolor.training.step import Loss, Training

SIZE_PX = 64
MakeShards = Callable[..., Workspace]
MakeTraining = Callable[..., Training]


class Painter(nn.Module):
    """The smallest model with weights, batch norm statistics and a counter."""

    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, L):
        return self.norm(self.conv(L / 100))


def _painter_loss(model, batch):
    return (model(batch.L)[:, :2] - batch.ab / 110).square().mean()


def _landscape(rng: np.random.Generator) -> np.ndarray:
    """A blue sky with soft clouds over striped green ground: colour can be predicted from texture."""
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
    """One thread: small models gain nothing from a second. Subprocesses read the variable."""
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_shards(tmp_path) -> MakeShards:
    """Makes a workspace with shards of small landscapes: `make_shards(name="ws", train=12, val=4)`."""

    def make(name: str = "workspace", train: int = 12, val: int = 4) -> Workspace:
        return _make_shards(open_workspace(tmp_path / name), train, val)

    return make


@pytest.fixture
def sets(make_shards) -> tuple[ShardDataset, ShardDataset]:
    """Train and val split of a workspace of `make_shards`."""
    workspace = make_shards()
    return ShardDataset.open(workspace, "train"), ShardDataset.open(workspace, "val")


@pytest.fixture
def painter_loss() -> Loss:
    """The loss of a `Painter`."""
    return _painter_loss


@pytest.fixture
def make_training(tmp_path) -> MakeTraining:
    """Makes a training of a `Painter`, with the same initial weights each time: `make_training(config, loss=...)`."""

    def make(
        config: TrainConfig, *, loss=_painter_loss, at: Path = tmp_path, key: str = "k", channels: int = 2, **more
    ):
        torch.manual_seed(14)
        return Training(
            name="painter",
            model=Painter(channels),
            loss=loss,
            config=config,
            checkpoints=at / "checkpoints" / "k",
            key=key,
            **more,
        )

    return make


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def _finished(tmp_path_factory, tiny: Config) -> Workspace:
    """12 and 4 landscapes, and a generator trained on them with the settings `tiny`."""
    workspace = _make_shards(open_workspace(tmp_path_factory.mktemp("finished") / "workspace"), 12, 4)
    train_generator(workspace, tiny)
    return workspace


@pytest.fixture
def trained(_finished: Workspace, tmp_path: Path) -> Workspace:
    """A workspace of `make_shards` with a trained generator: a copy of one that is trained once."""
    return Workspace(Path(shutil.copytree(_finished.root, tmp_path / "trained")))


# Children are forked from a server that has imported torch but not used it, so they start fast. The first optimizer
# imports torch._dynamo, which takes seconds.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["recolor.training", "torch._dynamo"])
_AS_TORCHRUN = """
import os
from pathlib import Path
from torch import set_num_threads
os.environ.update(RANK="{rank}", LOCAL_RANK="{rank}", WORLD_SIZE="{of}", LOCAL_WORLD_SIZE="{of}")
os.environ["GLOO_SOCKET_IFNAME"] = "lo"
set_num_threads(1)
folder, rank = Path({folder!r}), {rank}
"""


@pytest.fixture
def started() -> Callable[..., BaseProcess]:
    """Starts a process that runs Python code with torchrun's variables for its rank and a variable `folder`."""

    def start(text: str, folder: Path, rank: int = 0, of: int = 1) -> BaseProcess:
        text = _AS_TORCHRUN.format(rank=rank, of=of, folder=str(folder)) + text
        process = _context.Process(target=exec, args=(text, {}))
        process.start()
        return process

    return start


@pytest.fixture
def together(started: Callable[..., BaseProcess]) -> Callable[..., None]:
    """Runs Python code in two processes and checks their exit codes."""

    def run(text: str, folder: Path, codes: tuple[int, int] = (0, 0)) -> None:
        processes = [started(text, folder, rank, of=2) for rank in range(2)]
        for process in processes:
            process.join()
        assert tuple(process.exitcode for process in processes) == codes

    return run
