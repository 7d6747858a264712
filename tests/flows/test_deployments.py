"""The README's lines for a server, a worker and deployments, typed as they stand there, on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from recolor.frames import read_manifest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
DEPLOYMENTS = {"clean-and-train", "clean", "shard", "train-generator", "train-refiner", "evaluate"}


class Site:
    """A server with a worker, and the command line that talks to them."""

    def __init__(self, home):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.port = str(port)
        self.url = f"http://127.0.0.1:{port}/api"
        self.home = home
        self.env = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PWD": str(PROJECT),
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        self.services = []

    def start(self, *words):
        with (self.home / f"{words[0]}.log").open("w") as log:
            command = ["prefect", *words]
            self.services.append(
                subprocess.Popen(command, cwd=PROJECT, env=self.env, stdout=log, stderr=log, start_new_session=True)
            )

    def call(self, *words):
        return subprocess.run(
            ["prefect", "--no-prompt", *words],
            cwd=PROJECT,
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def post(self, path, body):
        reply = httpx.post(f"{self.url}/{path}", json=body, timeout=60)
        reply.raise_for_status()
        return reply.json()

    def wait_until(self, path):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/{path}", timeout=10).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        pytest.fail(f"{path} did not answer within 120 s: {(self.home / 'server.log').read_text()[-2000:]}")

    def stop(self):
        for service in reversed(self.services):
            os.killpg(service.pid, signal.SIGTERM)
        for service in self.services:
            try:
                service.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(service.pid, signal.SIGKILL)
                service.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("prefect"))
    try:
        site.start("server", "start", "--port", site.port)
        site.wait_until("health")
        site.start("worker", "start", "--pool", "local", "--type", "process")
        site.wait_until("work_pools/local")
        deployed = site.call("deploy", "--all")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        yield site
    finally:
        site.stop()


def run(site, deployment, **parameters):
    """Runs a deployment as one would by hand, and waits for its end."""
    given = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
    return site.call("deployment", "run", deployment, "--watch", *given)


def last_flow_run(site, flow):
    body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 1}
    return site.post("flow_runs/filter", body)[0]


def task_states(site, flow_run):
    """Names and states of a run's tasks; the server has them a moment after the run has ended."""
    before, found = None, {}
    while found != before or not found:
        time.sleep(2)
        runs = site.post("task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run["id"]]}}})
        before, found = found, {task["name"]: task["state"]["name"] for task in runs}
    return found


def test_every_flow_is_deployed_by_its_name_with_described_parameters(site):
    deployments = {found["name"]: found for found in site.post("deployments/filter", {})}
    assert set(deployments) == DEPLOYMENTS
    for deployment in deployments.values():
        properties = deployment["parameter_openapi_schema"]["properties"]
        assert set(properties) == {"images", "workspace", "preset", "settings"}
        assert all(found.get("description") for found in properties.values())


def test_a_worker_cleans_and_trains_then_redoes_only_what_another_threshold_changes(site, images, tiny, tmp_path):
    space = tmp_path / "space"
    settings = json.dumps(tiny)
    whole = run(site, "clean-and-train/clean-and-train", images=images, workspace=space, settings=settings)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert last_flow_run(site, "clean-and-train")["state"]["type"] == "COMPLETED"
    assert (space / "data" / "evaluation" / "report.html").stat().st_size > 10_000
    keys = {found["key"] for found in site.post("artifacts/filter", {})}
    assert {"outliers", "metrics", "report-html", "pictures-png", "measure-progress", "shard-progress"} <= keys

    blurry = len(read_manifest(space / "manifests" / "blurry.parquet"))
    stricter = json.dumps({**tiny, "blurry": {"threshold": 0.9}})
    alone = run(site, "clean/clean", workspace=space, settings=stricter)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    states = task_states(site, last_flow_run(site, "clean"))
    assert states.pop("detect blurry") == "Completed"
    assert {name for name, state in states.items() if state != "Cached"} <= {
        name for name in states if name.startswith("select")
    }
    assert len(read_manifest(space / "manifests" / "blurry.parquet")) > blurry


def test_a_bad_parameter_is_refused_when_the_run_is_created(site, tmp_path):
    before = len(site.post("flow_runs/filter", {}))
    refused = run(site, "clean/clean", workspace=tmp_path, settings=json.dumps({"blurry": {"threshold": 3}}))
    assert refused.returncode != 0
    assert "threshold" in refused.stdout + refused.stderr
    assert len(site.post("flow_runs/filter", {})) == before


def test_a_failed_run_says_why(site, tmp_path):
    failed = run(site, "clean/clean", images=tmp_path / "nowhere", workspace=tmp_path)
    assert failed.returncode != 0
    assert "no such folder" in last_flow_run(site, "clean")["state"]["message"]
