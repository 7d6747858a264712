"""Two processes that share each batch train the same model as one process."""

import json
import logging
import os
import shutil
import socket
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch.distributed import TCPStore

from recolor.errors import ConfigError, TrainingError
from recolor.manifests.pandas import read_manifest
from recolor.training import loop, train_generator, train_refiner
from recolor.training.distributed import Job, worker_error, write_job
from recolor.training.worker import run_directly

pytestmark = pytest.mark.slow

TRAIN = {"generator": train_generator, "refiner": train_refiner}
WORK = """
from recolor.training.worker import run_job
run_job(folder)
"""
KEEP_STATE = """
import torch
from recolor.training import loop

def kept(training, state, finish=loop.finish):
    torch.save((state.model.state_dict(), state.ema.state_dict(), state.metrics), folder / f"state {rank}.pt")
    return finish(training, state)

loop.finish = kept
"""
COUNT_STEPS = """
from recolor.training import loop

def counted(training, state, batch, one_step=loop.one_step):
    with (folder / f"steps {rank}").open("a") as file:
        file.write(str(state.step))
    one_step(training, state, batch)

loop.one_step = counted
"""
STOP_AT_STEP_FIVE = """
from recolor.training import loop

def stops(training, state, batch, one_step=loop.one_step):
    if state.step == 4:
        os._exit(1)
    one_step(training, state, batch)

loop.one_step = stops
"""
NAN_LOSS_IN_RANK_1 = """
from recolor.training import generator

def broken(*args, whole=generator.distribution_loss):
    broken.calls += args[0].requires_grad  # a step, not a validation
    return whole(*args) * (float("nan") if (rank, broken.calls) == (1, 4) else 1)

broken.calls = 0
generator.distribution_loss = broken
"""
STARTED_DIRECTLY = """
from recolor.training.worker import main

os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="{port}", TORCHELASTIC_USE_AGENT_STORE="True")
main({arguments})
"""


@pytest.fixture
def calm(tiny):
    """Few small steps, because AdamW amplifies the rounding of small gradients."""

    def of(train):
        return replace(train, lr=3e-4, steps=6, checkpoint_steps=2)

    return replace(
        tiny,
        generator=replace(tiny.generator, train=of(tiny.generator.train)),
        refiner=replace(tiny.refiner, train=of(tiny.refiner.train)),
    )


@pytest.fixture
def workspaces(make_shards, calm):
    """Makes two equal workspaces for training a model; no split is a multiple of the batch size."""

    def make(name):
        both = make_shards("one", train=13, val=7), make_shards("two", train=13, val=7)
        for workspace in both if name == "refiner" else ():
            train_generator(workspace, calm)
        return both

    return make


def job_folder(name, workspace, config):
    """Makes a new folder with a job for each run, like a staging folder."""
    folder = workspace.root / f"job {len(list(workspace.root.glob('job *')))}"
    folder.mkdir()
    write_job(Job(name, str(workspace.root), config, logging.WARNING), folder)
    return folder


def train_keeping_state(name, workspace, config, monkeypatch):
    """Trains in this process; returns the final model, averaged model and metrics, and the initial model."""
    states, fresh = [], []

    def begun(training, resumed_state=loop.resumed_state):
        fresh.append(tensors(training.model))
        return resumed_state(training)

    def kept(training, state, finish=loop.finish):
        states.append((tensors(state.model), tensors(state.ema), list(state.metrics)))
        return finish(training, state)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "resumed_state", begun)
        patched.setattr(loop, "finish", kept)
        TRAIN[name](workspace, config)
    return (*states[0], fresh[0])


def tensors(model):
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def states_of_both(folder):
    return [torch.load(folder / f"state {rank}.pt", weights_only=True) for rank in range(2)]


def assert_same_within_rounding(found, expected):
    """Compares weights, averaged weights and statistics, relative to their change in training.

    Measured: weights differ by up to 2e-4 of it, statistics by 3e-6, losses by 1e-7. The difference is the same for one
    process with the images of each batch in another order, which changes the rounding of sums.
    """
    for model, expected_model in zip(found[:2], expected[:2], strict=True):
        assert list(model) == list(expected_model)
        for key, value in expected_model.items():
            moved = (value - expected[3][key]).double().norm()
            assert moved > 0, key
            limit = 1e-4 if "running" in key else 3e-3
            assert (model[key] - value).double().norm() <= limit * moved, key
    assert [metric[:2] for metric in found[2]] == [metric[:2] for metric in expected[2]]
    assert {metric[1] for metric in expected[2]} == {"train", "val"}
    np.testing.assert_allclose([m[2] for m in found[2]], [m[2] for m in expected[2]], rtol=1e-6)


@pytest.mark.parametrize("name", ["generator", "refiner"])
def test_two_processes_train_what_one_trains_within_rounding(workspaces, calm, together, monkeypatch, name):
    one, two = workspaces(name)
    expected = train_keeping_state(name, one, calm, monkeypatch)
    folder = job_folder(name, two, calm)
    together(KEEP_STATE + WORK, folder)
    first, second = states_of_both(folder)
    torch.testing.assert_close(second[:2], first[:2], rtol=0, atol=0)
    assert second[2] == first[2]  # both base early stopping on it
    assert_same_within_rounding(first, expected)
    assert json.loads((folder / "counts.json").read_text()) == {"steps": 6, "images": 13}
    exported = read_manifest(folder / "metrics.parquet")
    assert exported["loss"].tolist() == [metric[2] for metric in first[2]]


def test_two_processes_resume_from_the_checkpoint_of_one(workspaces, calm, together, monkeypatch):
    one, two = workspaces("generator")
    expected = train_keeping_state("generator", one, calm, monkeypatch)

    def stops_at_step_five(training, state, batch, one_step=loop.one_step):
        if state.step == 4:
            raise KeyboardInterrupt
        one_step(training, state, batch)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "one_step", stops_at_step_five)
        with pytest.raises(KeyboardInterrupt):
            train_generator(two, calm)
    folder = job_folder("generator", two, calm)
    together(COUNT_STEPS + KEEP_STATE + WORK, folder)
    assert [(folder / f"steps {rank}").read_text() for rank in range(2)] == ["45", "45"]
    assert_same_within_rounding(states_of_both(folder)[0], expected)


def test_two_processes_that_were_interrupted_end_with_the_same_bytes(workspaces, calm, together):
    whole, broken = workspaces("generator")
    expected = job_folder("generator", whole, calm)
    together(WORK, expected)
    together(STOP_AT_STEP_FIVE + WORK, job_folder("generator", broken, calm), codes=(1, 1))
    folder = job_folder("generator", broken, calm)
    together(COUNT_STEPS + WORK, folder)
    assert (folder / "steps 0").read_text() == "45"
    for name in ("model.safetensors", "config.json", "metrics.parquet", "loss_curve.png"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name


def test_a_nan_loss_in_one_process_stops_all_with_the_same_message(workspaces, calm, together):
    _, two = workspaces("generator")
    folder = job_folder("generator", two, calm)
    together(NAN_LOSS_IN_RANK_1 + WORK, folder, codes=(1, 1))
    first, second = (json.loads((folder / f"error-{rank}.json").read_text()) for rank in range(2))
    assert first["message"] == second["message"]
    error = worker_error("generator", folder, None)
    assert type(error) is TrainingError
    assert "generator: loss nan, gradient norm nan at step 4" in str(error)
    assert "Last good checkpoint" in str(error)
    assert "step-00000003" in str(error)
    assert list(two.models.rglob("done-*")) == []


def test_a_setting_that_only_the_data_refuse_is_the_same_error_as_in_one_process(workspaces, calm, together):
    _, two = workspaces("generator")
    train = replace(calm.generator.train, crop_px=96)
    wrong = replace(calm, shard=replace(calm.shard, size_px=96), generator=replace(calm.generator, train=train))
    folder = job_folder("generator", two, wrong)
    together(WORK, folder, codes=(1, 1))
    with pytest.raises(ConfigError, match="crop_px = 96") as alone:
        train_generator(two, wrong)
    assert (type(worker_error("generator", folder, None)), str(worker_error("generator", folder, None))) == (
        ConfigError,
        str(alone.value),
    )


def dotted(values, at=""):
    """Yields nested settings as dotted TOML keys and values."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{at}{key}.")
        else:
            yield at + key, json.dumps(value)


@contextmanager
def store_on_loopback():
    """Opens a store like torchrun's, but on 127.0.0.1 only; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        store = TCPStore(
            "127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=os.dup(server.fileno())
        )
        yield port
        del store


def test_workers_started_directly_train_under_the_lock_and_do_not_repeat_it(workspaces, calm, together):
    one, two = workspaces("generator")
    train_generator(one, calm)
    settings = {"shard": {"size_px": 64}, "refiner": {"train": {"crop_px": 64}}, "generator": asdict(calm.generator)}
    two.settings_file.write_text("\n".join(f"{key} = {value}" for key, value in dotted(settings)))
    arguments = ["generator", str(two.root), "generator.train.metrics_steps=1"]
    written_ns = []
    for _ in range(2):
        with store_on_loopback() as port:
            together(STARTED_DIRECTLY.format(port=port, arguments=arguments), two.root)
        written_ns.append((two.models / "generator" / "config.json").stat().st_mtime_ns)
    assert written_ns[0] == written_ns[1]
    (two.models / "generator" / "model.safetensors").unlink()
    shutil.rmtree(two.models / "generator" / "checkpoints")
    with store_on_loopback() as port:
        together(STARTED_DIRECTLY.format(port=port, arguments=arguments), two.root)
    assert not (two.models / "generator" / "checkpoints").exists(), "trained again, in spite of the kept run"
    found, expected = (read_manifest(place.models / "generator" / "metrics.parquet") for place in (two, one))
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-6)
    assert train_generator(two, calm).current  # the key does not depend on the number of processes


def test_workers_started_directly_refuse_what_cannot_be_trained(workspaces, calm, together, monkeypatch):
    _, two = workspaces("generator")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="Allowed: generator, refiner"):
        run_directly("evaluate", two.root, [])
    with pytest.raises(ConfigError, match="multiples of 3"):
        run_directly("generator", two.root, ["generator.train.batch_images=4"])
