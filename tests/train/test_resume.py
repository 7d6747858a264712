"""A training killed at any moment ends as if nothing had happened, to the byte."""

import multiprocessing
import random
import shutil
import signal
import time
from dataclasses import replace

import pytest

from recolor.train import train_generator, train_refiner
from recolor.train.checkpoint import checkpoint_paths
from recolor.workspace import Workspace

STEPS, CHECKPOINT_STEPS = 32, 4
OUTPUTS = ("model.safetensors", "config.json", "metrics.parquet", "loss_curve.png")

# Children are forked from a server that has imported torch and never used it: each starts at once.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["recolor.train"])


def _started(stage, workspace, config):
    process = _context.Process(target=stage, args=(workspace, config))
    process.start()
    return process


def _run(stage, workspace, config):
    process = _started(stage, workspace, config)
    process.join()
    assert process.exitcode == 0


def _run_and_kill(stage, name, workspace, config, *, kept, delay_s):
    """Kills the training `delay_s` after it has written checkpoint number `kept` (0: after its start)."""
    process = _started(stage, workspace, config)
    while process.is_alive() and _newest_step(workspace, name) < kept * CHECKPOINT_STEPS:
        time.sleep(0.002)
    time.sleep(delay_s)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it ended before it was killed"


def _newest_step(workspace, name):
    paths = [path for folder in workspace.models.glob(f"{name}/checkpoints/*") for path in checkpoint_paths(folder)]
    return max((int(path.name[5:13]) for path in paths), default=0)


def _longer(config):
    def of(train):
        return replace(train, steps=STEPS, checkpoint_steps=CHECKPOINT_STEPS, validate_steps=10)

    return replace(
        config,
        generator=replace(config.generator, train=of(config.generator.train)),
        refiner=replace(config.refiner, train=of(config.refiner.train)),
    )


@pytest.mark.parametrize(("stage", "name"), [(train_generator, "generator"), (train_refiner, "refiner")])
def test_killed_at_five_random_moments_ends_with_the_same_bytes(make_shards, tiny, stage, name, tmp_path):
    config = _longer(tiny)
    fresh = make_shards("fresh")
    if name == "refiner":
        _run(train_generator, fresh, config)
    whole = Workspace(shutil.copytree(fresh.root, tmp_path / "whole"))
    _run(stage, whole, config)
    moments = random.Random(15)
    for kept in [0, *moments.sample(range(1, STEPS // CHECKPOINT_STEPS - 1), 4)]:
        workspace = Workspace(shutil.copytree(fresh.root, tmp_path / f"killed after {kept}"))
        _run_and_kill(stage, name, workspace, config, kept=kept, delay_s=moments.uniform(0, 0.04))
        assert kept * CHECKPOINT_STEPS <= _newest_step(workspace, name) < STEPS
        _run(stage, workspace, config)
        for output in OUTPUTS:
            expected = (whole.models / name / output).read_bytes()
            assert (workspace.models / name / output).read_bytes() == expected, output
