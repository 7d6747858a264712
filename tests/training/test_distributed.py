"""Training in two processes as a user starts it, and the ways it can end."""

import json
import logging
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from recolor.config.presets import PRESETS, preset
from recolor.config.settings import Config
from recolor.errors import ConfigError, TrainingError
from recolor.pipeline.torchrun import ENDED_FILE
from recolor.stages import check_can_train
from recolor.training import distributed, loop, train_generator
from recolor.training.distributed import Job, read_job, report_errors, worker_error, write_job

GOOD = Path("/models/step-00000004.pt")
PARENT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes of a shell ignore SIGINT

from recolor.training import train_generator
from recolor.training.distributed import read_job
from recolor.pipeline.workspace import Workspace, locked

workspace = Workspace(folder)
with locked(workspace):
    train_generator(workspace, read_job(folder).config)
"""


def of_devices(config: Config, devices: int) -> Config:
    """Settings with enough steps to be interrupted."""
    train = replace(config.generator.train, devices=devices, steps=60, checkpoint_steps=4, validate_steps=60)
    return replace(config, generator=replace(config.generator, train=train))


def wait_for_checkpoint(workspace, is_running):
    while not list(workspace.models.rglob("step-*.pt")):
        assert is_running(), "it ended before it had a checkpoint"
        time.sleep(0.05)


def workers(root: psutil.Process) -> dict[str, psutil.Process]:
    """Returns the worker processes below a process, by rank."""
    below = root.children(recursive=True)
    return {process.environ()["RANK"]: process for process in below if "RANK" in process.environ()}


def listening(process: psutil.Process) -> list[str]:
    """Returns the addresses at which a process listens."""
    connections = process.net_connections(kind="inet")
    return [connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN]


def assert_none_is_left(processes):
    _, alive = psutil.wait_procs(processes, timeout=90)
    assert alive == []


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_when_the_parent_ends_all_processes_end_and_one_process_can_resume(
    make_shards, tiny, started, monkeypatch, ending
):
    workspace = make_shards()
    write_job(Job("generator", str(workspace.root), of_devices(tiny, 2), logging.WARNING), workspace.root)
    parent = started(PARENT, workspace.root)
    wait_for_checkpoint(workspace, parent.is_alive)
    tree = psutil.Process(parent.pid).children(recursive=True)
    assert len(tree) == 3  # torchrun and its two workers
    assert {ip for process in tree for ip in listening(process)} == {"127.0.0.1"}
    os.kill(parent.pid, ending)
    assert_none_is_left(tree)

    steps = []
    monkeypatch.setattr(loop, "one_step", lambda *args, real=loop.one_step: (steps.append(args[1].step), real(*args)))
    train_generator(workspace, of_devices(tiny, 1))
    assert steps[0] > 0
    assert steps == list(range(steps[0], 60))


@pytest.mark.slow
def test_a_killed_worker_ends_the_training_with_an_error_that_names_it(make_shards, tiny):
    workspace = make_shards()
    with ThreadPoolExecutor(1) as thread:
        training = thread.submit(train_generator, workspace, of_devices(tiny, 2))
        wait_for_checkpoint(workspace, lambda: not training.done())
        both = workers(psutil.Process())
        assert sorted(both) == ["0", "1"]
        both["1"].kill()
        error = training.exception()
    assert isinstance(error, TrainingError)
    assert "generator: process 1 was killed (SIGKILL)" in str(error)
    kept = sorted(workspace.models.rglob("step-*.pt"))[-1]
    assert f"Last good checkpoint: {kept}" in str(error)
    assert_none_is_left(both.values())
    assert list(workspace.staging.iterdir()) == []


def test_a_job_is_read_as_it_was_written(tmp_path):
    for name in PRESETS:
        given = preset(name)
        model = replace(given.generator.model, encoder_weights='/a "folder"\n/ünïcode \U0001f5bc.pth')
        job = Job("refiner", "/work space/ü", replace(given, generator=replace(given.generator, model=model)), 20)
        write_job(job, tmp_path)
        assert read_job(tmp_path) == job


def test_more_devices_than_there_are_are_refused_before_anything_starts(make_shards, tiny, monkeypatch):
    workspace = make_shards()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(distributed, "run_part", None)
    config = of_devices(tiny, 2)
    asked = replace(config.generator, train=replace(config.generator.train, device="cuda"))
    with pytest.raises(ConfigError, match=r"devices = 2: .* Allowed here: 1 to 1, or device = 'cpu'"):
        train_generator(workspace, replace(config, generator=asked))
    with pytest.raises(ConfigError, match="devices = 2"):
        check_can_train({"train-generator"}, replace(config, generator=asked))
    check_can_train({"train-generator"}, config)


def test_threads_are_divided_among_processes_unless_their_number_is_set(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **how: started.append(how["env"]["OMP_NUM_THREADS"]))
    monkeypatch.setattr(distributed, "worker_count", lambda config: 9)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    distributed._start_torchrun(2, tmp_path)
    distributed._start_torchrun(16, tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    distributed._start_torchrun(2, tmp_path)
    assert started == ["4", "1", "3"]


@pytest.fixture
def fail(tmp_path, monkeypatch):
    """Returns a function that reports an error as a process of the given rank, at the given time."""
    ends = []
    monkeypatch.setattr(distributed.os, "_exit", ends.append)

    def as_rank(rank, error, time_s):
        monkeypatch.setattr(distributed.time, "time", lambda: time_s)
        with report_errors(tmp_path, rank):
            raise error
        assert ends.pop() == 1

    return as_rank


def test_an_expected_error_is_raised_unchanged_even_if_others_failed_before(tmp_path, fail):
    fail(0, RuntimeError("Connection closed by peer"), 1.0)
    fail(1, ConfigError("crop_px = 96: too large."), 2.0)
    error = worker_error("generator", tmp_path, GOOD)
    assert (type(error), str(error)) == (ConfigError, "crop_px = 96: too large.")


def test_an_unexpected_error_names_its_process_and_the_last_good_checkpoint_and_has_the_trace(tmp_path, fail):
    fail(0, RuntimeError("Connection closed by peer"), 2.0)
    fail(1, MemoryError("out of memory"), 1.0)
    error = worker_error("generator", tmp_path, GOOD)
    assert type(error) is TrainingError
    assert str(error).startswith("generator: process 1 raised MemoryError: out of memory. All processes were ended.")
    assert f"Last good checkpoint: {GOOD}." in str(error)
    assert "test_distributed.py" in error.__notes__[0]


@pytest.mark.parametrize(("code", "how"), [(-9, "was killed (SIGKILL)"), (-11, "by SIGSEGV"), (3, "exit code 3")])
def test_a_process_that_ended_without_a_report_is_named_before_those_it_made_fail(tmp_path, fail, code, how):
    fail(0, RuntimeError("Connection closed by peer"), 1.0)
    (tmp_path / ENDED_FILE).write_text(json.dumps({"0": 1, "1": code}))
    error = worker_error("refiner", tmp_path, None)
    assert str(error).startswith("refiner: process 1 ")
    assert how in str(error)
    assert "Last good checkpoint: none yet." in str(error)


def test_a_process_that_torchrun_stopped_because_of_another_is_not_blamed(tmp_path):
    (tmp_path / ENDED_FILE).write_text(json.dumps({"0": -15, "1": 3}))
    assert str(worker_error("refiner", tmp_path, None)).startswith("refiner: process 1 ended with exit code 3. All")
    (tmp_path / ENDED_FILE).write_text(json.dumps({"0": -15}))
    assert str(worker_error("refiner", tmp_path, None)).startswith("refiner: process 0 was ended by SIGTERM. All")


def test_without_any_report_torchrun_itself_has_ended(tmp_path):
    assert "torchrun ended without saying why" in str(worker_error("refiner", tmp_path, None))


def test_without_an_error_nothing_is_written(tmp_path):
    with report_errors(tmp_path, 0):
        pass
    assert list(tmp_path.iterdir()) == []
