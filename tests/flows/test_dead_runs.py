"""What a killed process leaves on the server: its runs, subflows and tasks become Crashed, and nobody else's do."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterParentFlowRunId
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, get_current_settings, temporary_settings
from prefect.states import Running

from flows.clean import clean
from flows.dead_runs import end_dead_runs, hold_run, mark_crashed, runs_folder
from flows.forms import Settings

PROJECT = Path(__file__).parents[2]
# A flow with a task, and a subflow with a task, which says when all of them run.
PROGRAM = """
import sys, time
from uuid import UUID
from prefect import flow, task
from prefect.runtime import flow_run
from flows.dead_runs import hold_run

@task
def long(): time.sleep(600)

@flow(name="inner")
def inner(): long.submit(); time.sleep(4); print("all run", flush=True); time.sleep(600)

@flow(name="outer")
def outer():
    hold_run(UUID(flow_run.id))
    print(flow_run.id, flush=True)
    long.submit()
    inner()

outer()
"""

CLEANING = """
import json, sys
from flows.clean import clean
from flows.forms import Settings
clean(sys.argv[1], sys.argv[2], None, Settings(**json.loads(sys.argv[3])))
"""


@pytest.fixture
def client(prefect_server, tmp_path):
    """A client, with a home for the files of runs of this test alone."""
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}), get_client(sync_client=True) as client:
        yield client


@flow(name="somebody-elses")
def foreign():
    pass


def running(client):
    return client.create_flow_run(foreign, state=Running())


def seen(client, run):
    """Everything that the server says of a run, with its timestamps, but for durations up to now."""
    return client.read_flow_run(run).model_dump(exclude={"estimated_run_time", "estimated_start_time_delta"})


def states(client, run):
    """The types of a run's state, of its subflows' and of all their tasks'."""
    below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run]))
    family = [client.read_flow_run(run), *client.read_flow_runs(flow_run_filter=below)]
    inside = FlowRunFilter(id=FlowRunFilterId(any_=[each.id for each in family]))
    tasks = client.read_task_runs(flow_run_filter=inside)
    return [each.state_type.value for each in family], [each.state_type.value for each in tasks]


def start(program, *arguments):
    """A flow as a program of its own, with this server and home."""
    env = {
        **os.environ,
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_HOME": str(get_current_settings().home),
    }
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=PROJECT, env=env, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_flow_its_subflows_and_tasks_become_crashed_and_not_before_it_is_killed(client):
    other = running(client).id
    before = seen(client, other)
    with start(PROGRAM) as process:
        run = UUID(process.stdout.readline().strip())
        assert process.stdout.readline() == "all run\n"
        end_dead_runs(client)
        assert states(client, run) == (["RUNNING"] * 2, ["RUNNING"] * 3), "two tasks, and that of the subflow"
        os.kill(process.pid, signal.SIGKILL)
    end_dead_runs(client)
    assert states(client, run) == (["CRASHED"] * 2, ["CRASHED"] * 3)
    assert "was killed" in client.read_flow_run(run).state.message
    assert seen(client, other) == before
    assert not (runs_folder() / str(run)).exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_cleaning_is_ended_by_the_next_run_of_any_flow(client, images, tiny, tmp_path):
    with start(CLEANING, images, tmp_path / "space", json.dumps(tiny)) as process:
        while not (files := [file for file in runs_folder().iterdir() if file.name != "guard"]):
            assert process.poll() is None
            time.sleep(0.05)
        run = UUID(files[0].name)
        while client.read_flow_run(run).state_type.value == "PENDING":
            time.sleep(0.05)
        process.kill()
    assert client.read_flow_run(run).state_type.value == "RUNNING"
    clean(images, tmp_path / "space", None, Settings(**tiny))
    flows, tasks = states(client, run)
    assert flows == ["CRASHED"]
    assert set(tasks) <= {"CRASHED", "COMPLETED"}


@pytest.mark.slow  # waits for the server
def test_a_run_of_this_process_and_one_that_the_server_does_not_know_are_left(client):
    own, unknown = running(client).id, uuid4()
    hold_run(own)
    (runs_folder() / str(unknown)).touch()
    before = seen(client, own)
    end_dead_runs(client)
    assert seen(client, own) == before
    assert {file.name for file in runs_folder().iterdir()} >= {str(own), str(unknown)}


@pytest.mark.slow  # waits for a server
def test_a_file_that_no_server_has_asked_for_is_deleted_after_a_month(client):
    file = runs_folder() / str(uuid4())
    file.touch()
    os.utime(file, (0, 0))
    end_dead_runs(client)
    assert not file.exists()


def test_a_run_that_has_ended_keeps_its_state_when_what_it_left_is_marked(client):
    @task
    def nothing():
        pass

    @flow(name="ended")
    def ended():
        nothing()

    state = ended(return_state=True)
    run = state.state_details.flow_run_id
    before = seen(client, run)
    mark_crashed(client, [run], "killed")
    assert seen(client, run) == before
