"""Trainings by two processes as a user starts them, and what ends them."""

import logging
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest
import torch

from recolor.config.presets import PRESETS, preset
from recolor.config.settings import Config
from recolor.errors import ConfigError, TrainingError
from recolor.stages import check_can_train
from recolor.training import launch, loop, train_generator
from recolor.training.launch import Job, read_job, write_job

PARENT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in a shell's background would ignore it

from recolor.training import train_generator
from recolor.training.launch import read_job
from recolor.pipeline.workspace import Workspace, locked

workspace = Workspace(folder)
with locked(workspace):
    train_generator(workspace, read_job(folder).config)
"""


def of_devices(config: Config, devices: int) -> Config:
    """Enough steps to be interrupted."""
    train = replace(config.generator.train, devices=devices, steps=60, checkpoint_steps=4, validate_steps=60)
    return replace(config, generator=replace(config.generator, train=train))


def wait_for_checkpoint(workspace, is_running):
    while not list(workspace.models.rglob("step-*.pt")):
        assert is_running(), "it ended before it had a checkpoint"
        time.sleep(0.05)


def workers(root: psutil.Process) -> dict[str, psutil.Process]:
    """The workers below a process, by rank."""
    below = root.children(recursive=True)
    return {process.environ()["RANK"]: process for process in below if "RANK" in process.environ()}


def listening(process: psutil.Process) -> list[str]:
    """The addresses at which a process can be reached over a network."""
    connections = process.net_connections(kind="inet")
    return [connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN]


def assert_none_is_left(processes):
    _, alive = psutil.wait_procs(processes, timeout=90)
    assert alive == []


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_when_the_parent_ends_so_do_all_and_one_process_goes_on(make_shards, tiny, started, monkeypatch, ending):
    workspace = make_shards()
    write_job(Job("generator", str(workspace.root), of_devices(tiny, 2), logging.WARNING), workspace.root)
    parent = started(PARENT, workspace.root)
    wait_for_checkpoint(workspace, parent.is_alive)
    tree = psutil.Process(parent.pid).children(recursive=True)
    assert len(tree) == 3  # torchrun and its two
    assert {ip for process in tree for ip in listening(process)} == {"127.0.0.1"}
    os.kill(parent.pid, ending)
    assert_none_is_left(tree)

    steps = []
    monkeypatch.setattr(loop, "one_step", lambda *args, real=loop.one_step: (steps.append(args[1].step), real(*args)))
    train_generator(workspace, of_devices(tiny, 1))
    assert steps[0] > 0
    assert steps == list(range(steps[0], 60))


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_training_with_an_error_that_says_so(make_shards, tiny):
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


def test_a_job_comes_to_the_workers_as_it_was_given(tmp_path):
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
    monkeypatch.setattr(launch, "run_part", None)
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
    monkeypatch.setattr(launch, "worker_count", lambda config: 9)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    launch._start(2, tmp_path)
    launch._start(16, tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    launch._start(2, tmp_path)
    assert started == ["4", "1", "3"]
