"""Prefect's processes killed in the middle of a flow: what was finished stays finished, and a rerun ends as ever."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest
from services import PROJECT, Site, last_flow_run
from traces import finished, redone, results, temporary_files

from recolor.config.loading import overlay
from recolor.config.settings import Config
from recolor.pipeline.workspace import Workspace, open_workspace
from recolor.stages import CLEANING, run_each

pytestmark = pytest.mark.slow

SETTINGS = {"execution": {"part_images": 1, "workers": 2}, "select": {"val_fraction": 0.2, "test_fraction": 0.2}}
FLOW = """
import json, sys
from pathlib import Path
from flows.clean import clean
from flows.parameters import Settings
clean(Path(sys.argv[1]), Path(sys.argv[2]), None, Settings(**json.loads(sys.argv[3])))
"""

PARTS = """
import sys
from pathlib import Path
from prefect import flow, task
from flows.parameters import Run
from flows.parts import TASK, run_parts
from recolor.config.settings import Config
from recolor.pipeline.cache import Part, run_part
from recolor.pipeline.workspace import locked, open_workspace

@task(name="part", **TASK)
def write(run, part):
    target = run.workspace.manifests / f"{part}.txt"
    made = Part(run.workspace, "parts", 1, part, {}, (target,))
    return run_part(made, lambda staging: {"characters": (staging / target.name).write_text(str(part))})

@flow
def parts(root: str):
    run = Run(open_workspace(Path(root)), Path(), Config())
    with locked(run.workspace):
        return len(run_parts(write, run, range(500), lambda part: 1, "parts"))

parts(sys.argv[1])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server; no worker."""
    site = Site(tmp_path_factory.mktemp("prefect"))
    try:
        start_server(site)
        yield site
    finally:
        site.stop()


def start_server(site):
    site.start("server", "start", "--port", site.port)
    site.wait_until("health")
    return site.services[-1]


def start_worker(site):
    site.start("worker", "start", "--pool", "recolor", "--type", "process")
    site.wait_until("work_pools/recolor")
    return site.services[-1]


def start(site, program, *arguments):
    """A flow as a program of its own, without a worker."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=PROJECT, env=site.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def start_flow(site, images, root):
    return start(site, FLOW, images, root, json.dumps(SETTINGS))


def measured(root):
    return len(list(Workspace(root).measured_parts.glob("*.record.json")))


def wait_for(condition, limit_s=300):
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {limit_s} s"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory, images):
    """The bytes that the flow `clean` leaves when nothing disturbs it."""
    root = tmp_path_factory.mktemp("expected")
    list(run_each(CLEANING, open_workspace(root), images, overlay(Config(), SETTINGS)))
    return results(root)


def flow_process(worker):
    """The process in which the worker runs a flow, as soon as it is there."""

    def found():
        children = psutil.Process(worker.pid).children(recursive=True)
        return next((child for child in children if "prefect.engine" in words_of(child)), None)

    return wait_for(found)


def words_of(process):
    """Its command line; of one that has ended meanwhile, nothing."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_a_flow_process_and_then_its_worker_are_killed_and_what_was_finished_stays(site, images, tmp_path, expected):
    worker = start_worker(site)
    deployed = site.call("deploy", "--name", "clean")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    given = ("-p", f"images={images}", "-p", f"workspace={tmp_path}", "-p", f"settings={json.dumps(SETTINGS)}")
    assert site.call("deployment", "run", "clean/clean", *given).returncode == 0
    wait_for(lambda: measured(tmp_path) >= 3)
    flow_process(worker).kill()
    wait_for(lambda: last_flow_run(site, "clean")["state"]["name"] == "Crashed")
    first = finished(tmp_path)

    assert site.call("deployment", "run", "clean/clean", *given).returncode == 0
    flow = flow_process(worker)
    wait_for(lambda: measured(tmp_path) >= len(first) + 3)
    worker.kill()
    worker.wait()
    flow.wait(300)  # it goes on by itself, or ends: the workspace is free either way
    second = finished(tmp_path)

    again = start_flow(site, images, tmp_path)
    said = again.communicate(timeout=300)[0].decode()
    assert again.returncode == 0, said
    assert redone(first, tmp_path) == redone(second, tmp_path) == []
    assert results(tmp_path) == expected
    assert temporary_files(tmp_path) == []


def test_a_server_killed_and_restarted_in_the_middle_loses_nothing(site, images, tmp_path, expected):
    flow = start_flow(site, images, tmp_path)
    wait_for(lambda: measured(tmp_path) >= 3)
    os.killpg(site.services[0].pid, signal.SIGKILL)
    site.services[0].wait()
    site.services[0] = start_server(site)
    site.services.pop()
    said = flow.communicate(timeout=300)[0].decode()
    done = finished(tmp_path)
    again = start_flow(site, images, tmp_path)
    said_again = again.communicate(timeout=300)[0].decode()
    assert again.returncode == 0, said + said_again
    assert redone(done, tmp_path) == []
    assert results(tmp_path) == expected
    assert temporary_files(tmp_path) == []


def test_a_database_that_is_busy_again_and_again_under_500_parts_costs_only_time(site, tmp_path):
    flow = start(site, PARTS, tmp_path)
    [database] = site.home.glob("*.db")
    wait_for(lambda: any(tmp_path.glob("manifests/*.txt")))
    for _ in range(8):
        with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(1)
            other.execute("ROLLBACK")
        time.sleep(0.2)
    said = flow.communicate(timeout=300)[0].decode()
    assert flow.returncode == 0, said
    written = {path.name: path.read_text() for path in tmp_path.glob("manifests/*.txt")}
    assert written == {f"{number}.txt": str(number) for number in range(500)}
    assert len(finished(tmp_path)) == 500
    assert temporary_files(tmp_path) == []
