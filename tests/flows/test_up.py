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

from flows.deploy import POOL, PROJECT
from flows.up import Server, _welcome, api_url, default_parameters, end_left_runs, worker_name

OWN, SHARED = Server("http://127.0.0.1:1/api", 1), Server("http://127.0.0.1:1/api", None)


def test_only_the_folders_become_parameters_so_that_recolor_toml_decides_the_settings(tmp_path):
    folders = {"images": str(tmp_path / "photos"), "workspace": str(tmp_path)}
    assert default_parameters(tmp_path / "photos", tmp_path) == folders
    assert default_parameters(None, Path()) == {"workspace": str(Path().absolute())}


def test_what_is_to_be_typed_next_works_in_the_folder_in_which_it_is_told(tmp_path, monkeypatch):
    usual = Server("http://127.0.0.1:4200/api", 4200)
    monkeypatch.chdir(tmp_path)
    told = _welcome(usual, tmp_path, "http://127.0.0.1:81")
    assert "in any folder:\n  PREFECT_PLUGINS_ENABLED=1 prefect deployment run clean-and-train\n" in told
    assert "Report and gallery: http://127.0.0.1:81\n" in told
    monkeypatch.chdir(PROJECT)
    told = _welcome(usual, tmp_path, "http://127.0.0.1:81")
    assert "in this folder:\n  prefect deployment run clean-and-train\n" in told
    assert "In any other folder, type PREFECT_PLUGINS_ENABLED=1 before `prefect`." in told
    assert (
        "  PREFECT_API_URL=http://127.0.0.1:1/api prefect deployment run clean-and-train -p images=FOLDER\n"
        in _welcome(OWN, None, "http://127.0.0.1:81")
    )


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
