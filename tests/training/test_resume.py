"""A training killed at any moment resumes to the same bytes; the checkpoint of another training is refused."""

import json
import multiprocessing
import random
import shutil
import signal
import time
from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recolor.errors import DamagedError, TrainingError
from recolor.manifests.pandas import read_manifest
from recolor.pipeline.workspace import Workspace
from recolor.training import train_generator, train_refiner
from recolor.training.checkpoint import checkpoint_paths, step_of
from recolor.training.loop import train
from recolor.training.resume import finish, resumed_state

STEPS, CHECKPOINT_STEPS = 32, 4
OUTPUTS = ("model.safetensors", "config.json", "metrics.parquet", "loss_curve.png")

# Children are forked from a server that has imported torch but not used it, so they start fast. The first optimizer
# imports torch._dynamo, which takes seconds.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["recolor.training", "torch._dynamo"])


def _started(stage, workspace, config):
    process = _context.Process(target=stage, args=(workspace, config))
    process.start()
    return process


def _run(stage, workspace, config):
    process = _started(stage, workspace, config)
    process.join()
    assert process.exitcode == 0


def _run_and_kill(stage, name, workspace, config, *, kept, delay_s):
    """Kills the training `delay_s` after it has written a checkpoint of `kept` steps (0: after its start)."""
    process = _started(stage, workspace, config)
    while process.is_alive() and _newest_step(workspace, name) < kept:
        time.sleep(0.002)
    time.sleep(delay_s)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it ended before it was killed"


def _newest_step(workspace, name):
    paths = [path for folder in workspace.models.glob(f"{name}/checkpoints/*") for path in checkpoint_paths(folder)]
    return max(map(step_of, paths), default=0)


def _longer(config, **changes):
    def of(model):
        lengths = {"steps": STEPS, "checkpoint_steps": CHECKPOINT_STEPS, "validate_steps": 10}
        return replace(model, train=replace(model.train, **{**lengths, **changes}))

    return replace(config, generator=of(config.generator), refiner=of(config.refiner))


# A high learning rate and little averaging: validation soon stops the training early.
RESTLESS = {"validate_steps": 3, "patience": 2, "lr": 0.1, "ema_decay": 0.0, "warmup_steps": 0, "keep_checkpoints": 1}

KILLED = {
    "generator": (train_generator, {}, 4),
    "refiner": (train_refiner, {}, 4),
    "generator that stops early": (train_generator, RESTLESS, 2),
    "generator on CUDA": (train_generator, {"device": "cuda", "deterministic": True}, 4),
}
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


@pytest.mark.slow
@pytest.mark.parametrize("what", [*list(KILLED)[:3], pytest.param("generator on CUDA", marks=NO_CUDA)])
def test_killed_at_random_moments_ends_with_the_same_bytes(make_shards, tiny, what, tmp_path):
    stage, changes, count = KILLED[what]
    name, config = what.split()[0], _longer(tiny, **changes)
    fresh = make_shards("fresh")
    if name == "refiner":
        _run(train_generator, fresh, config)
    whole = Workspace(shutil.copytree(fresh.root, tmp_path / "whole"))
    _run(stage, whole, config)
    steps = _steps_done(whole, name)
    moments = random.Random(15)
    for kept in [0, *moments.sample(range(CHECKPOINT_STEPS, steps - CHECKPOINT_STEPS, CHECKPOINT_STEPS), count)]:
        workspace = Workspace(shutil.copytree(fresh.root, tmp_path / f"killed after {kept}"))
        _run_and_kill(stage, name, workspace, config, kept=kept, delay_s=moments.uniform(0, 0.04))
        assert kept <= _newest_step(workspace, name) < steps
        _run(stage, workspace, config)
        for output in OUTPUTS:
            expected = (whole.models / name / output).read_bytes()
            assert (workspace.models / name / output).read_bytes() == expected, output


def _steps_done(workspace, name):
    """Returns the number of steps, after checking that only a training without patience did all."""
    training = json.loads((workspace.models / name / "config.json").read_text())["training"]
    metrics = read_manifest(workspace.models / name / "metrics.parquet")
    assert metrics["step"].max() == training["steps_done"]
    if training["train"]["patience"]:
        assert training["exported_step"] < training["steps_done"] < STEPS
    else:
        assert training["exported_step"] == training["steps_done"] == STEPS
    return training["steps_done"]


# A small training that is killed while writing its checkpoint number `writing`; 0: never.
# `at`: the temporary file is half written, or it is complete, or it has its final name and older ones are not yet
# deleted.
LITTLE_TRAINING = """
import os, signal
from pathlib import Path
import torch
from torch import nn
from recolor.dataset.dataset import ShardDataset
from recolor.training.loop import train
from recolor.training.step import Training

writings, replaced = 0, Path.replace

def replace_or_die(self, target):
    global writings
    writings += target.suffix == ".pt"
    if writings != writing or target.suffix != ".pt":
        return replaced(self, target)
    if at == "half written":
        os.truncate(self, self.stat().st_size // 2)
    if at == "named":
        replaced(self, target)
    os.kill(os.getpid(), signal.SIGKILL)

def loss(model, batch):
    if not model.training:  # lower after 3, 6 and 12 steps; 12 is the lowest
        step = model[1].num_batches_tracked
        return (step - 12.0) ** 2 + 40 * (step % 2)
    return (model(batch.L / 100) - batch.ab / 110).square().mean()

torch.set_num_threads(1)
torch.manual_seed(14)
model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2))
checkpoints = folder / "checkpoints" / "k"
training = Training(name="little", model=model, loss=loss, config=config, checkpoints=checkpoints, key="k")
if writing:
    Path.replace = replace_or_die
train(training, ShardDataset.open(workspace, "train"), ShardDataset.open(workspace, "val"))
"""


def _little(folder, workspace, config):
    """Trains it to its end in this process."""
    exec(LITTLE_TRAINING, {"folder": folder, "workspace": workspace, "config": config, "writing": 0})


def _little_and_kill(folder, workspace, config, *, writing, at):
    """Trains it in a subprocess and returns whether that was killed."""
    given = {"folder": folder, "workspace": workspace, "config": config, "writing": writing, "at": at}
    process = _context.Process(target=exec, args=(LITTLE_TRAINING, given))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("at", "keep"),
    [
        ("half written", 2),
        pytest.param("whole", 1, marks=pytest.mark.slow),
        pytest.param("named", 1, marks=pytest.mark.slow),
    ],
)
def test_killed_while_writing_any_of_its_checkpoints_ends_with_the_same_bytes(make_shards, tiny, tmp_path, at, keep):
    lengths = {"steps": 60, "validate_steps": 3, "checkpoint_steps": 5, "patience": 2, "keep_checkpoints": keep}
    workspace, config = make_shards(), replace(tiny.generator.train, **lengths)
    _little(tmp_path / "whole", workspace, config)
    [done] = expected = _files(tmp_path / "whole")
    assert done.name.startswith("done-00000018-")
    writing = 1
    while _little_and_kill(folder := tmp_path / f"killed {writing}", workspace, config, writing=writing, at=at):
        assert _files(folder) != expected
        _little(folder, workspace, config)
        assert _files(folder) == expected  # and nothing half written is left
        writing += 1
    assert writing - 1 == 7  # after 3, 5, 6, 10, 12 and 15 steps, and at the end
    assert _files(folder) == expected


def test_tensorboard_has_every_step_once_though_the_training_was_killed(make_shards, tiny, tmp_path):
    lengths = {"steps": 20, "validate_steps": 3, "checkpoint_steps": 5, "tensorboard": True}
    workspace, config = make_shards(), replace(tiny.generator.train, **lengths)
    assert _little_and_kill(tmp_path / "little", workspace, config, writing=4, at="half written")  # after step 10
    _little(tmp_path / "little", workspace, config)
    events = EventAccumulator(str(tmp_path / "little" / "tensorboard" / "k"), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/train")] == list(range(1, 21))
    assert [event.step for event in events.Scalars("loss/val")] == [3, 6, 9, 12, 15, 18, 20]


def _stopped(training, sets, at):
    """Trains until just before step `at`."""
    original, steps = training.loss, []

    def loss(model, batch):
        steps.extend([1] * model.training)
        if len(steps) == at:
            raise KeyboardInterrupt
        return original(model, batch)

    with pytest.raises(KeyboardInterrupt):
        train(replace(training, loss=loss), *sets)


def _never(model, batch):
    raise AssertionError("a step was done")


def test_a_checkpoint_of_other_settings_is_refused_with_what_differs(tmp_path, sets, make_training, tiny):
    settings = {"train.lr": 0.001, "train.flip": True, "inputs.shards": "ab"}
    _stopped(make_training(tiny.generator.train, key="one", settings=settings), sets, 4)
    there = checkpoint_paths(tmp_path / "checkpoints" / "k")
    settings = {"train.lr": 0.002, "train.flip": True, "inputs.shards": "cd"}
    other = make_training(tiny.generator.train, key="two", loss=_never, settings=settings)
    message = (
        r"step-00000003.*another training.* train\.lr: 0\.001 there, 0\.002 here; inputs\.shards: ab there, cd here\."
    )
    with pytest.raises(TrainingError, match=message):
        train(other, *sets)
    assert checkpoint_paths(tmp_path / "checkpoints" / "k") == there


def test_a_checkpoint_of_another_architecture_is_refused_with_the_tensors_that_differ(sets, make_training, tiny):
    _stopped(make_training(tiny.generator.train), sets, 4)
    other = make_training(tiny.generator.train, channels=3, loss=_never)
    with pytest.raises(TrainingError, match=r"conv\.weight: 2x1x3x3 there, 3x1x3x3 here; conv\.bias: 2 there, 3 here;"):
        train(other, *sets)
    other.model.add_module("extra", torch.nn.Linear(2, 2, bias=False))
    with pytest.raises(TrainingError, match=r"extra\.weight: nothing there, 2x2 here"):
        train(other, *sets)


def test_a_finished_checkpoint_of_another_architecture_is_refused_too(sets, make_training, tiny):
    train(make_training(tiny.generator.train), *sets)
    with pytest.raises(TrainingError, match=r"done-.* conv\.weight: 2x1x3x3 there, 3x1x3x3 here"):
        train(make_training(tiny.generator.train, channels=3, loss=_never), *sets)


def test_a_copied_checkpoint_is_refused_by_the_name_of_the_setting(make_shards, tiny):
    workspace = make_shards()
    train_generator(workspace, tiny)
    faster = replace(tiny, generator=replace(tiny.generator, train=replace(tiny.generator.train, lr=0.004)))
    train_generator(workspace, faster)
    shutil.rmtree(workspace.models / "runs")  # or the first training would be taken from there
    folders = sorted((workspace.models / "generator" / "checkpoints").iterdir(), key=lambda path: path.stat().st_mtime)
    shutil.rmtree(folders[0])
    folders[1].rename(folders[0])
    with pytest.raises(
        TrainingError, match=r"generator cannot resume from it\. train\.lr: 0\.004 there, 0\.003 here\."
    ):
        train_generator(workspace, tiny)


@pytest.fixture
def rising(make_training, painter_loss, tiny):
    """Makes a training of 24 steps whose validation loss is lowest after 6 steps: `rising(patience, at=...)`."""

    def loss(model, batch):
        return painter_loss(model, batch) if model.training else (model.norm.num_batches_tracked - 6.0) ** 2

    def make(patience=20, **more):
        config = replace(tiny.generator.train, steps=24, checkpoint_steps=5, validate_steps=3, patience=patience)
        return make_training(config, loss=loss, **more)

    return make


def _damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_without_its_best_weights_a_checkpoint_is_skipped(tmp_path, sets, rising, caplog):
    whole = train(rising(at=tmp_path / "whole"), *sets)
    assert (whole.steps, whole.exported_step) == (24, 6)
    _stopped(rising(), sets, 24)
    assert [step_of(path) for path in checkpoint_paths(rising().checkpoints)] == [6, 15, 20]
    _damage(checkpoint_paths(rising().checkpoints)[0])
    resumed = train(rising(), *sets)
    assert caplog.text.count("skipped, because the checkpoint of its best validation is damaged or missing") == 2
    assert resumed.metrics == whole.metrics
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_best_weights_damaged_at_the_very_end_are_an_error_and_no_others_are_exported(sets, rising):
    _stopped(rising(), sets, 24)
    state = resumed_state(rising())
    _damage(checkpoint_paths(rising().checkpoints)[0])
    with pytest.raises(DamagedError, match=r"checkpoint of step 6, the best validation, is damaged or missing\. Run"):
        finish(rising(), state)
    assert [step_of(path) for path in checkpoint_paths(rising().checkpoints)] == [6, 15, 20]


def test_without_patience_a_lost_best_checkpoint_costs_nothing(tmp_path, sets, rising):
    whole = train(rising(patience=0, at=tmp_path / "whole"), *sets)
    _stopped(rising(patience=0), sets, 24)
    for path in checkpoint_paths(rising().checkpoints)[:-1]:
        path.unlink()
    assert resumed_state(rising(patience=0)).step == 20
    resumed = train(rising(patience=0), *sets)
    assert resumed.exported_step == 24
    assert resumed.metrics == whole.metrics
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_a_training_that_had_stopped_before_its_end_was_written_does_no_step_more(tmp_path, sets, rising, monkeypatch):
    whole = train(rising(patience=3, at=tmp_path / "whole"), *sets)
    assert (whole.steps, whole.exported_step) == (15, 6)  # where a checkpoint is due, too
    monkeypatch.setattr("recolor.training.loop.finish", _killed)
    with pytest.raises(OSError, match="killed"):
        train(rising(patience=3), *sets)
    monkeypatch.undo()
    resumed = train(replace(rising(patience=3), loss=_never), *sets)
    assert (resumed.steps, resumed.exported_step, resumed.metrics) == (15, 6, whole.metrics)
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def _killed(training, state):
    raise OSError("killed")
