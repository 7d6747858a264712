"""`recolor up` on loopback, and what is typed beside it: runs, stages again, faults of the one who types."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from recolor.manifests.pandas import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PROJECT = Path(__file__).parents[2]
DEPLOYMENTS = {"clean-and-train", "clean", "shard", "train-generator", "train-refiner", "evaluate"}
ARTIFACTS = {  # with the workspace's name before each
    "outliers", "metrics", "report-html", "pictures-png", "pictures", "clean-and-train-parts",
    "measure-progress", "shard-progress", "train-generator-progress", "train-refiner-progress",
    "evaluate-progress",
    *(f"{name}-parts" for name in DEPLOYMENTS),
}  # fmt: skip


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Site:
    """`recolor up`, and the command line that talks to it."""

    def __init__(self, home, *words):
        self.port, self.home, self.words = free_port(), home, words
        self.url = f"http://127.0.0.1:{self.port}/api"
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.env = {**os.environ, "PATH": programs, "PREFECT_HOME": str(home)}
        self.process = None

    def start(self):
        command = ["recolor", "up", "--port", str(self.port), *self.words]
        with self.log.open("ab") as log:
            # As a terminal's job: Ctrl-C reaches the process group.
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def log(self):
        return self.home / "up.log"

    def wait_for(self, condition):
        """Waits until it is true, or fails with what `recolor up` has said."""
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := condition():
                return found
            time.sleep(0.5)
        return pytest.fail(f"it did not come to that: {self.log.read_text()[-3000:]}")

    def call(self, *words):
        """Types a line; Prefect is told of the port and of nothing else."""
        env = {**self.env, "PREFECT_API_URL": self.url}
        return subprocess.run(
            words,
            cwd=PROJECT,
            env=env,
            check=False,
            capture_output=True,
            text=True,
            timeout=1000,
            stdin=subprocess.DEVNULL,
        )

    def run(self, deployment, *words):
        done = self.call("prefect", "deployment", "run", deployment, "--watch", *words)
        assert done.returncode == 0, done.stdout + done.stderr + self.log.read_text()[-3000:]

    def post(self, path, body):
        for _ in range(20):
            reply = httpx.post(f"{self.url}/{path}", json=body, timeout=60)
            if reply.status_code != 503:  # SQLite is busy: nothing was done, and Prefect's own client tries again too
                break
            time.sleep(1)
        reply.raise_for_status()
        return reply.json()

    def create(self, name, parameters):
        """Triggers a deployment's run, as the UI's form does; its id."""
        [deployment] = self.post("deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        return self.post(f"deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})["id"]

    def run_of(self, flow_run_id):
        return self.post("flow_runs/filter", {"flow_runs": {"id": {"any_": [flow_run_id]}}})[0]

    def answers(self):
        try:
            return httpx.get(f"{self.url}/health", timeout=10).is_success
        except httpx.TransportError:
            return False

    def runs(self, flow):
        return self.post("flow_runs/filter", {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"})

    def artifacts(self, flow_run):
        """The artifacts of a run and of its tasks, by key."""
        found = self.post("artifacts/filter", {"flow_runs": {"id": {"any_": [flow_run["id"]]}}})
        return {artifact["key"]: artifact for artifact in found}

    def task_states(self, flow_run):
        """Names and states of a run's tasks; the server has them a moment after the run has ended."""
        before, found = None, {}
        while found != before or not found:
            time.sleep(2)
            runs = self.post("task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run["id"]]}}})
            before, found = found, {task["name"]: task["state"]["name"] for task in runs}
        return found

    def states_below(self, flow_run_id):
        """The states of a flow run, its subflows, and all their tasks, one for each."""
        below = {"flow_runs": {"parent_flow_run_id": {"any_": [flow_run_id]}}}
        family = [self.run_of(flow_run_id), *self.post("flow_runs/filter", below)]
        tasks = self.post("task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"] for run in family]}}})
        return [run["state"]["type"] for run in [*family, *tasks]]

    def logs(self, flow_run_id):
        found = self.post("logs/filter", {"logs": {"flow_run_id": {"any_": [flow_run_id]}}})
        return [line["message"] for line in found]


@pytest.fixture(scope="module")
def space(tmp_path_factory, tiny):
    """A workspace whose own settings are the tiny ones, so that nothing need be said in the command."""
    space = tmp_path_factory.mktemp("site") / "space"
    space.mkdir()
    (space / "recolor.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in dotted(tiny)))
    return space


def dotted(settings, at=""):
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{at}{key}.")
        else:
            yield at + key, value


@pytest.fixture(scope="module")
def site(tmp_path_factory, images, space):
    site = Site(tmp_path_factory.mktemp("prefect"), "--images", str(images), "--workspace", str(space))
    with ended_at_last(site):
        site.start()
        site.wait_for(lambda: "prefect deployment run clean-and-train" in site.log.read_text())
        yield site


@contextmanager
def ended_at_last(site):
    try:
        yield
    finally:
        if site.process is not None and site.process.poll() is None:
            site.process.terminate()
            site.process.wait(60)


def test_every_flow_is_deployed_by_its_name_with_described_parameters(site, images, space):
    deployments = {found["name"]: found for found in site.post("deployments/filter", {})}
    assert set(deployments) == DEPLOYMENTS
    for deployment in deployments.values():
        properties = deployment["parameter_openapi_schema"]["properties"]
        more = {"stages"} if deployment["name"] == "clean-and-train" else set()
        assert set(properties) == {"images", "workspace", "preset", "settings"} | more
        assert all(found.get("description") for found in properties.values())
        assert deployment["parameters"] == {"images": str(images), "workspace": str(space)}
        assert deployment["description"]
    limits = {found["name"]: found["limit"] for found in site.post("v2/concurrency_limits/filter", {})}
    assert limits["cpu"] == 1
    assert limits["gpu"] >= 1


def test_everything_runs_by_the_literal_words_and_a_stage_again_redoes_only_what_a_threshold_changes(
    site, images, space
):
    site.run("clean-and-train")
    whole = site.runs("clean-and-train")[0]
    assert whole["state"]["type"] == "COMPLETED"
    name, data_set, key = whole["name"].split(" · ")
    assert (name, data_set) == ("clean-and-train", images.name)
    assert int(key, 16) >= 0
    assert (space / "data" / "evaluation" / "report.html").stat().st_size > 10_000
    artifacts = {found["key"].removeprefix("space-"): found for found in site.post("artifacts/filter", {})}
    assert set(artifacts) >= ARTIFACTS
    assert all(found["key"].startswith("space-") for found in artifacts.values())
    [_, link] = re.search(r"\[(.*)\]\((.*)\)", artifacts["report-html"]["data"]).groups()
    assert httpx.get(link).content == (space / "data" / "evaluation" / "report.html").read_bytes()
    assert artifacts["pictures"]["data"].startswith("data:image/jpeg;base64,")
    for long in ("measure", "shard", "train-generator", "train-refiner", "evaluate"):
        assert artifacts[f"{long}-progress"]["data"] == 100
    rows = {row["issue"]: row["outliers"] for row in json.loads(artifacts["outliers"]["data"])}
    assert rows["kept"] == len(read_manifest(space / "manifests" / "clean.parquet"))

    blurry = len(read_manifest(space / "manifests" / "blurry.parquet"))
    assert rows["blurry"] == blurry
    site.run("clean", "-p", "blurry.threshold=0.9")
    alone = site.runs("clean")[0]
    assert alone["parameters"]["settings"] == {"blurry": {"threshold": 0.9}}
    states = site.task_states(alone)
    assert states.pop("detect blurry") == "Completed"
    assert {name.split("-")[0] for name, state in states.items() if state != "Cached"} == {"select"}
    assert not any(name.startswith("measure ") for name in states), "parts that are done must not be submitted"
    assert len(read_manifest(space / "manifests" / "blurry.parquet")) > blurry
    [row] = json.loads(site.artifacts(alone)["space-clean-parts"]["data"])
    assert (row["state"], row["parts built"]) == ("Completed", 2)
    assert row["parts reused"] > 5


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("blurry.threshold=3", "settings.blurry.threshold"),
        ("blury.threshold=0.4", "'blury.threshold'. Did you mean 'blurry.threshold'?"),
    ],
)
def test_a_bad_word_is_refused_when_the_run_is_created(site, word, said):
    before = len(site.post("flow_runs/filter", {}))
    refused = site.call("prefect", "deployment", "run", "clean-and-train", "-p", word)
    assert refused.returncode != 0
    assert said in " ".join((refused.stdout + refused.stderr).split())
    assert len(site.post("flow_runs/filter", {})) == before


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"settings": {"blurry": {"threshold": 3}}}, "settings.blurry.threshold"),
        ({"settings": {"blury": {"threshold": 0.4}}}, "blury"),
        ({"stages": ["clean", "polish"]}, "'polish' is not one of"),
        ({"stages": []}, "stages"),
        ({"preset": "huge"}, "preset"),
    ],
)
def test_a_bad_parameter_of_the_form_is_refused_by_the_server(site, parameters, said):
    before = len(site.post("flow_runs/filter", {}))
    with pytest.raises(httpx.HTTPStatusError) as refused:
        site.create("clean-and-train", parameters)
    assert refused.value.response.status_code == 409
    assert said in refused.value.response.text
    assert len(site.post("flow_runs/filter", {})) == before


def test_a_failed_run_says_why(site, tmp_path):
    created = site.create("clean", {"images": str(tmp_path / "nowhere")})
    failed = site.wait_for(lambda: (run := site.run_of(created))["state"]["type"] == "FAILED" and run)
    assert "no such folder" in failed["state"]["message"]


def seconds_of_training(workspace):
    """When a training began and ended, as its record has it."""
    record = workspace / "data" / "models" / "generator" / "model.safetensors.record.json"
    ended = record.stat().st_mtime
    return ended - json.loads(record.read_text())["seconds_s"], ended


def test_two_triggered_trainings_queue_up_for_the_device(site, space, tmp_path):
    limit = {"names": ["cpu"], "slots": 1, "mode": "concurrency"}
    spaces = [shutil.copytree(space, tmp_path / name) for name in ("one", "other")]
    site.post("v2/concurrency_limits/increment", limit)  # a run that is longer than any of these
    settings = {"generator": {"train": {"seed": 1, "steps": 40}}}
    created = [site.create("train-generator", {"workspace": str(place), "settings": settings}) for place in spaces]
    site.wait_for(lambda: all(any("Waiting for the CPU" in line for line in site.logs(run)) for run in created))
    assert list(tmp_path.rglob("progress.json")) == []
    site.post("v2/concurrency_limits/decrement", {**limit, "occupancy_seconds": 1})
    site.wait_for(lambda: {site.run_of(run)["state"]["type"] for run in created} == {"COMPLETED"})
    (_, first_end), (second_start, _) = sorted(map(seconds_of_training, spaces))
    assert first_end <= second_start + 0.05


def test_a_second_one_on_the_same_port_says_so(site):
    refused = site.call("recolor", "up", "--port", str(site.port))
    assert refused.returncode == 1
    assert f"port {site.port} is in use" in refused.stderr
    assert f"--port {site.port + 1}" in refused.stderr


def test_a_killed_run_leaves_no_subflow_or_task_running_and_no_traceback(site, space):
    training = {"stages": ["train-generator"], "settings": {"generator": {"train": {"seed": 3, "steps": 100_000}}}}
    killed = site.create("clean-and-train", training)
    status = space / "data" / "models" / "generator" / "progress.json"
    site.wait_for(status.is_file)
    said = len(site.log.read_text())
    [engine] = [
        process
        for process in psutil.Process(site.process.pid).children(recursive=True)
        if process.environ().get("PREFECT__FLOW_RUN_ID") == killed and "prefect.engine" in process.cmdline()
    ]
    engine.kill()
    site.wait_for(lambda: set(site.states_below(killed)) == {"CRASHED"})
    assert len(site.states_below(killed)) == 4, "two flow runs, the subflow's task run, and the training"
    site.wait_for(lambda: "Reported flow run" in site.log.read_text()[said:])
    time.sleep(10)  # a program for hooks, which has nothing to do, comes and goes
    assert "Traceback" not in site.log.read_text()[said:]
    status.unlink()


def test_killed_in_the_middle_of_a_run_it_leaves_nothing_and_says_so_when_it_is_started_again(site, space):
    killed = site.create("train-generator", {"settings": {"generator": {"train": {"seed": 2, "steps": 100_000}}}})
    status = space / "data" / "models" / "generator" / "progress.json"
    site.wait_for(status.is_file)
    started = psutil.Process(site.process.pid).children(recursive=True)
    assert len(started) >= 3, "server, worker, run"
    site.process.kill()
    site.process.wait()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []

    site.start()
    site.wait_for(site.answers)
    site.wait_for(lambda: site.run_of(killed)["state"]["type"] == "CRASHED")
    assert "recolor up" in site.run_of(killed)["state"]["message"]
    assert set(site.states_below(killed)) == {"CRASHED"}
    started = psutil.Process(site.process.pid).children(recursive=True)
    os.killpg(site.process.pid, signal.SIGINT)
    assert site.process.wait(60) == 130
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []
