"""What `recolor up` makes of its options, and which runs it takes for dead."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_HOME, temporary_settings
from prefect.states import Pending, Running

from flows.deploy import POOL
from flows.forms import Settings
from flows.up import Server, api_url, default_parameters, end_left_runs, worker_name
from recolor.cli.options import Target
from recolor.config.settings import Config

OWN, SHARED = Server("http://127.0.0.1:1/api", 1), Server("http://127.0.0.1:1/api", None)


def test_only_what_was_given_becomes_a_parameter_so_that_recolor_toml_still_counts(tmp_path):
    target = Target(tmp_path / "photos", tmp_path, "quick", None, ("blurry.threshold=0.4", "generator.train.steps=9"))
    settings = {"blurry": {"threshold": 0.4}, "generator": {"train": {"steps": 9}}}
    assert default_parameters(target) == {
        "images": str(tmp_path / "photos"),
        "workspace": str(tmp_path),
        "preset": "quick",
        "settings": settings,
    }
    assert Settings.model_validate(settings).model_dump(exclude_none=True) == settings
    assert default_parameters(Target(None, Path(), None, None, ())) == {"workspace": str(Path().absolute())}
    assert default_parameters(Target(None, Path(), None, None, ("preset=demo",)))["preset"] == "demo"


def test_a_file_of_settings_becomes_all_settings_as_it_stands_in_for_recolor_toml(tmp_path):
    (tmp_path / "recolor.toml").write_text("blurry.threshold = 0.9\n")
    file = tmp_path / "other.toml"
    file.write_text("skewed.threshold = 0.2\n")
    parameters = default_parameters(Target(None, tmp_path, None, file, ("blurry.enabled=false",)))
    settings = parameters["settings"]
    assert set(parameters) == {"workspace", "settings"}
    assert (settings["skewed"]["threshold"], settings["blurry"]["enabled"]) == (0.2, False)
    assert settings["blurry"]["threshold"] == Config().blurry.threshold
    assert Settings.model_validate(settings)


@pytest.mark.parametrize(
    "url", ["http://host:4200", "http://host:4200/", "http://host:4200/api", "http://host:4200/api/"]
)
def test_the_address_of_the_ui_is_completed_to_that_of_the_api(url):
    assert api_url(url) == "http://host:4200/api"
    assert api_url("https://cloud/api/accounts/1/workspaces/2") == "https://cloud/api/accounts/1/workspaces/2"


@pytest.fixture
def pool(prefect_server, tmp_path):
    """Our deployment `clean` on a server, with functions that add runs and workers."""
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}), get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        flow_id = UUID(client.request("POST", "/flows/", json={"name": "clean"}).json()["id"])
        deployment = client.create_deployment(
            flow_id, "clean", entrypoint="flows/clean.py:clean", work_pool_name=POOL, enforce_parameter_schema=False
        )

        def add(state, process=None):
            run = client.create_flow_run_from_deployment(deployment, state=state)
            if process is not None:
                client.update_flow_run(run.id, infrastructure_pid=str(process))
            return run.id

        def crashed(*runs):
            return [client.read_flow_run(run).state.is_crashed() for run in runs]

        def work(name):
            client.request("POST", f"/work_pools/{POOL}/workers/heartbeat", json={"name": name})

        yield SimpleNamespace(client=client, add=add, crashed=crashed, work=work)
        client.delete_deployment(deployment)
        client.delete_work_pool(POOL)


def other_process(pool, state):
    """A run, and a live process that has its number and works on something else."""
    return pool.add(state, os.getpid())


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads the environment of processes in /proc")
def test_on_its_own_server_a_run_whose_process_is_gone_is_dead_and_one_whose_process_lives_is_not(pool):
    @flow(name="somebody-elses")
    def foreign():
        pass

    dead = [pool.add(Pending()), pool.add(Running(), 2**22 + 1), other_process(pool, Running())]
    alive, other = pool.add(Running()), pool.client.create_flow_run(foreign, state=Running()).id
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    env = {**os.environ, "PREFECT__FLOW_RUN_ID": str(alive)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        pool.client.update_flow_run(alive, infrastructure_pid=str(process.pid))
        end_left_runs(pool.client, OWN)
        assert pool.crashed(*dead, alive, other) == [True, True, True, False, False]
        process.kill()
    end_left_runs(pool.client, OWN)
    assert pool.crashed(alive, other) == [True, False]


def test_on_an_existing_server_only_pending_runs_are_dead_and_only_while_no_other_worker_is_there(pool):
    pending, running = pool.add(Pending()), other_process(pool, Running())
    pool.work(worker_name())
    pool.work(f"somebody's-{uuid4()}")
    end_left_runs(pool.client, SHARED)
    assert pool.crashed(pending, running) == [False, False]


def test_on_an_existing_server_a_pending_run_that_no_worker_has_is_dead(pool):
    pending, running = pool.add(Pending()), other_process(pool, Running())
    pool.work(worker_name())
    assert socket.gethostname() in worker_name()
    end_left_runs(pool.client, SHARED)
    assert pool.crashed(pending, running) == [True, False]
