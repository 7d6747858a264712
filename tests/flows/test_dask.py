"""The flows on a real Dask cluster: a scheduler and two workers, programs with folders of their own, on loopback."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from flows.clean import clean
from flows.parameters import Settings
from flows.shard import shard
from recolor.config.loading import overlay
from recolor.config.settings import Config
from recolor.pipeline.workspace import open_workspace
from recolor.stages import CLEANING, run_each

pytest.importorskip("prefect_dask", reason="needs the extra `dask`")
distributed = pytest.importorskip("distributed")
cluster_runner = pytest.importorskip("flows.cluster").cluster_runner
pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.timeout(300), pytest.mark.slow, pytest.mark.long]

REPOSITORY = Path(__file__).parents[2]
MARK = "RECOLOR_TEST_CLUSTER"  # environment variable by which the processes of one test are told from all others
FLOW = """
import json, sys
from pathlib import Path
from flows.clean import clean
from flows.parameters import Settings
clean(Path(sys.argv[1]), Path(sys.argv[2]), None, Settings(**json.loads(sys.argv[3])))
"""
KILLED = """
import os, signal, sys
from flows.plugin import PARENT
os.environ[PARENT] = str(os.getpid())  # as `recolor run --prefect` does
from flows.cluster import cluster_runner
with cluster_runner(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="session")
def single_machine(images, tiny, tmp_path_factory):
    """What one machine makes of the images."""
    workspace = open_workspace(tmp_path_factory.mktemp("single"))
    list(run_each([*CLEANING, "shard"], workspace, images, overlay(Config(), tiny)))
    return content(workspace.root)


def content(root):
    """Bytes of the manifests and shards; the parts of measuring are cut differently, and records carry times."""
    files = [path for folder in ("manifests", "data/shards") for path in (root / folder).iterdir() if path.is_file()]
    return {path.relative_to(root): path.read_bytes() for path in files if path.suffix in (".parquet", ".npy")}


@pytest.fixture
def mark(monkeypatch, tmp_path):
    """Marks all processes that the test starts, and those that they start, and gives them a home of Prefect."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(MARK, str(uuid4()))
    return os.environ[MARK]


def marked(mark, word=""):
    """Command lines of the live processes with the mark that have this word in it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                found.append(" ".join(process.cmdline()))
        except psutil.Error:  # another user's, or it has ended meanwhile
            continue
    return [line for line in found if word in line]


def decoders(mark):
    return len(marked(mark, "recolor.pipeline.workers"))


def wait_for(condition, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {limit_s} s"
        time.sleep(0.1)


def run_program(program, *words):
    """Runs a program without a server that is set, as on the command line."""
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True, timeout=280)


@pytest.fixture
def cluster(mark, tmp_path):
    """The scheduler's address and the two workers; each is one process of one thread, in its own folder."""
    file = tmp_path / "scheduler.json"
    with (
        started(tmp_path / "scheduler", "scheduler", "--scheduler-file", file, "--port", "0", "--no-dashboard"),
        started(tmp_path / "one", "worker", *worker_options(file)) as one,
        started(tmp_path / "two", "worker", *worker_options(file)) as two,
    ):
        with distributed.Client(scheduler_file=str(file), timeout=120, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
            address = client.scheduler.address
        yield address, (one, two)


def worker_options(file):
    return "--scheduler-file", file, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--death-timeout", "120"


@contextmanager
def started(folder, *words):
    folder.mkdir()
    command = [sys.executable, "-m", "dask", words[0], "--host", "127.0.0.1", *map(str, words[1:])]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def on_cluster(tiny, address):
    return Settings(**{**tiny, "execution": {**tiny["execution"], "runner": "dask", "dask_address": address}})


@pytest.fixture
def elsewhere(images, monkeypatch):
    """The test runs where a path relative to here means nothing to a worker."""
    monkeypatch.chdir(images.parent)


@pytest.mark.usefixtures("elsewhere")
def test_two_workers_make_the_same_bytes_as_one_machine(images, tmp_path, tiny, cluster, single_machine):
    address, _ = cluster
    root = tmp_path / "workspace"
    clean(Path(images.name), root, None, on_cluster(tiny, address))
    shard(None, root, None, on_cluster(tiny, address))
    assert content(root) == single_machine
    assert all(list((tmp_path / name).iterdir()) == [tmp_path / name / "log"] for name in ("one", "two"))


def test_a_worker_killed_in_the_middle_of_measuring_costs_nothing_but_its_part(
    images, tmp_path, tiny, cluster, single_machine
):
    address, (victim, _) = cluster
    workspace = open_workspace(tmp_path / "workspace")
    finished = lambda: len(list(workspace.measured_parts.glob("*.record.json")))  # noqa: E731 - read twice
    seen = []

    def kill():
        while not finished():
            time.sleep(0.005)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        seen.append(finished())

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    clean(images, workspace.root, None, on_cluster(tiny, address))
    killer.join()
    assert victim.returncode == -signal.SIGKILL
    assert 0 < seen[0] < finished(), "it was killed in the middle"
    shard(images, workspace.root, None, on_cluster(tiny, address))
    assert content(workspace.root) == single_machine
    assert list(workspace.staging.iterdir()) == []


def test_workers_use_the_temporary_server_of_the_run_and_nothing_outlives_them(images, tmp_path, tiny, mark, cluster):
    address, workers = cluster
    settings = {**tiny, "execution": {**tiny["execution"], "runner": "dask", "dask_address": address}}
    done = run_program(FLOW, images, tmp_path / "workspace", json.dumps(settings))
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: not marked(mark, "uvicorn"))
    for worker in workers:
        worker.terminate()
        worker.wait(60)
    wait_for(lambda: all("scheduler" in line for line in marked(mark)))


def test_two_runs_on_one_cluster_have_decoders_of_their_own(mark, cluster):
    address, _ = cluster
    with cluster_runner(address):
        wait_for(lambda: decoders(mark) == 2)
        with cluster_runner(address):
            wait_for(lambda: decoders(mark) == 4)
        wait_for(lambda: decoders(mark) == 2)
    wait_for(lambda: decoders(mark) == 0)


def test_the_server_of_a_killed_run_ends_with_it_and_its_decoders_are_ended_by_the_next_run(mark, cluster):
    address, _ = cluster
    assert run_program(KILLED, address).returncode == -signal.SIGKILL
    assert (decoders(mark), marked(mark, "uvicorn")) == (2, [])
    with cluster_runner(address):
        wait_for(lambda: decoders(mark) == 2)
    wait_for(lambda: decoders(mark) == 0)
