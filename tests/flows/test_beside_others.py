"""`recolor up --server` on a server that another project uses: what that project has there stays as it is."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from services import Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RUNNING = {"type": "RUNNING", "name": "Running"}
OTHERS = {
    "parameters": {"table": "orders"},
    "parameter_openapi_schema": {"type": "object", "properties": {"table": {"type": "string"}}},
    "entrypoint": "etl.py:load",
    "work_pool_name": "etl",
}


class Shared:
    """A server, started by somebody else, with a pool, two deployments, limits and running runs of another project."""

    def __init__(self, server):
        self.post, self.url = server.post, server.url
        flow = self.post("flows/", {"name": "etl"})["id"]
        self.post("work_pools/", {"name": "etl", "type": "process"})
        # One has the name of one of ours, with another flow.
        self.deployments = [
            self.post("deployments/", {"name": name, "flow_id": flow, **OTHERS})["id"] for name in ("nightly", "clean")
        ]
        self.post("v2/concurrency_limits/", {"name": "gpu", "limit": 7})
        run = {"flow_id": flow, "state": RUNNING}
        self.runs = [
            self.post("flow_runs/", run)["id"],
            *(self.post(f"deployments/{each}/create_flow_run", {"state": RUNNING})["id"] for each in self.deployments),
        ]

    def get(self, path):
        reply = httpx.get(f"{self.url}/{path}", timeout=60)
        reply.raise_for_status()
        return reply.json()

    def of_others(self):
        """Everything of the other project, with the times of the last change; without what grows by itself."""
        runs = [self.get(f"flow_runs/{run}") for run in self.runs]
        for run in runs:
            assert run["state"]["type"] == "RUNNING"
            for clock in ("estimated_run_time", "estimated_start_time_delta"):
                del run[clock]
        deployments = [self.get(f"deployments/{each}") for each in self.deployments]
        return runs, deployments, self.get("work_pools/etl"), self.get("v2/concurrency_limits/gpu")

    def ours(self):
        found = self.post("deployments/filter", {"work_pools": {"name": {"any_": ["recolor"]}}})
        return {each["name"]: each for each in found}

    def state(self, run):
        return self.get(f"flow_runs/{run}")["state"]["type"]


@pytest.fixture
def shared(tmp_path):
    home = tmp_path / "server"
    home.mkdir()
    server = Site(home)
    try:
        server.start("server", "start", "--port", server.port)
        server.wait_until("health")
        yield Shared(server)
    finally:
        server.stop()


@pytest.fixture
def up(shared, images, tmp_path):
    """Starts `recolor up` on that server, from a folder of no project, and returns it when it is up."""
    started = []
    log = tmp_path / "up.log"
    env = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PREFECT_HOME": str(tmp_path / "home"),
    }
    command = [
        "recolor",
        "up",
        "--server",
        shared.url.removesuffix("/api"),
        "--images",
        str(images),
        "--workspace",
        "space",
    ]

    def start():
        with log.open("w") as file:
            started.append(subprocess.Popen(command, cwd=tmp_path, env=env, stdout=file, stderr=file, process_group=0))
        wait_for(lambda: "Recolor is up" in log.read_text() or started[-1].poll() is not None)
        assert started[-1].poll() is None, log.read_text()
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for(condition, limit_s=600):
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {limit_s} s"
        time.sleep(0.5)
    return found


def test_it_adds_its_own_and_ends_its_own_dead_runs_and_changes_nothing_of_others(shared, up, images, tmp_path):
    before = shared.of_others()
    first = up()
    assert shared.of_others() == before
    ours = shared.ours()
    assert set(ours) == {"clean-and-train", "clean", "shard", "train-generator", "train-refiner", "evaluate"}
    assert ours["clean"]["parameters"] == {"images": str(images), "workspace": str(tmp_path / "space")}
    assert shared.get("v2/concurrency_limits/gpu")["limit"] == 7
    assert shared.get("v2/concurrency_limits/cpu")["limit"] == 1

    # A run of ours that has its process elsewhere: started by a worker of the pool on another machine.
    path = f"deployments/{ours['clean']['id']}/create_flow_run"
    elsewhere = shared.post(path, {"state": RUNNING})["id"]
    killed = shared.post(path, {"parameters": {"settings": {"measure": {"measure_px": 512}}}})["id"]
    wait_for(lambda: shared.state(killed) == "RUNNING")
    wait_for(lambda: list((tmp_path / "home" / "recolor-runs").glob(f"{killed}*")))
    first.kill()
    first.wait()
    second = up()
    assert (shared.state(killed), shared.state(elsewhere)) == ("CRASHED", "RUNNING")
    tasks = shared.post("task_runs/filter", {"flow_runs": {"id": {"any_": [killed]}}})
    assert not [task["name"] for task in tasks if task["state"]["type"] not in {"COMPLETED", "CRASHED"}]
    assert shared.of_others() == before

    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 130
    assert shared.of_others() == before, "the server was not ended either"
    assert shared.state(elsewhere) == "RUNNING"
