"""Prefect's processes killed in the middle of a flow: what was finished stays finished, and a rerun ends as ever."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
from test_deployments import PROJECT, Site, last_flow_run
from test_deployments import run as run_deployment
from traces import finished, redone, results, temporary_files

from recolor.workspace import Workspace, open_workspace

pytestmark = pytest.mark.slow

SETTINGS = {"execution": {"part_images": 1, "workers": 2}, "select": {"val_fraction": 0.2, "test_fraction": 0.2}}
WORDS = [f"{table}.{key}={value}" for table, values in SETTINGS.items() for key, value in values.items()]
FLOW = """
import json, sys
from pathlib import Path
from flows.clean import clean
from flows.parameters import Settings
from recolor.errors import RecolorError
clean(Path(sys.argv[1]), Path(sys.argv[2]), None, Settings(**json.loads(sys.argv[3])))
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
    site.start("worker", "start", "--pool", "local", "--type", "process")
    site.wait_until("work_pools/local")
    return site.services[-1]


def start_flow(site, images, root):
    """The flow `clean` as a program of its own, without a worker."""
    command = [sys.executable, "-c", FLOW, images, root, json.dumps(SETTINGS)]
    return subprocess.Popen(command, cwd=PROJECT, env=site.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def measured(root):
    return len(list(Workspace(root).measured_parts.glob("*.record.json")))


def wait_for(condition, limit_s=120):
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {limit_s} s"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory, run):
    """The bytes that the flow `clean` leaves when nothing disturbs it."""
    root = tmp_path_factory.mktemp("expected")
    run(["index", "measure", "detect", "select"], open_workspace(root), *WORDS)
    return results(root)


def test_a_flow_process_killed_under_a_worker_is_crashed_and_the_next_run_goes_on(site, images, tmp_path, expected):
    worker = start_worker(site)
    deployed = site.call("deploy", "--name", "clean")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    given = ("-p", f"images={images}", "-p", f"workspace={tmp_path}", "-p", f"settings={json.dumps(SETTINGS)}")
    assert site.call("deployment", "run", "clean/clean", *given).returncode == 0
    wait_for(lambda: measured(tmp_path) >= 3)
    [flow] = [child for child in psutil.Process(worker.pid).children(True) if "prefect.flow_engine" in child.cmdline()]
    flow.kill()
    wait_for(lambda: last_flow_run(site, "clean")["state"]["name"] == "Crashed")
    done = finished(tmp_path)
    assert 3 <= measured(tmp_path) < len(list(images.rglob("*.*")))

    again = run_deployment(site, "clean/clean", workspace=tmp_path, settings=json.dumps(SETTINGS))
    assert again.returncode == 0, again.stdout + again.stderr
    assert redone(done, tmp_path) == []
    assert results(tmp_path) == expected
    assert temporary_files(tmp_path) == []
    worker.terminate()
    worker.wait(60)


def test_a_killed_worker_takes_no_work_along(site, images, tmp_path, expected):
    worker = start_worker(site)
    assert site.call("deploy", "--name", "clean").returncode == 0
    given = ("-p", f"images={images}", "-p", f"workspace={tmp_path}", "-p", f"settings={json.dumps(SETTINGS)}")
    assert site.call("deployment", "run", "clean/clean", *given).returncode == 0
    wait_for(lambda: measured(tmp_path) >= 3)
    worker.kill()
    worker.wait()
    wait_for(lambda: last_flow_run(site, "clean")["state"]["name"] in ("Completed", "Crashed", "Failed"))
    start_worker(site)
    again = run_deployment(site, "clean/clean", workspace=tmp_path, settings=json.dumps(SETTINGS))
    assert again.returncode == 0, again.stdout + again.stderr
    assert last_flow_run(site, "clean")["state"]["name"] in ("Cached", "Completed")
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
    assert flow.returncode == 0, said  # a server that comes back in time is waited for


def test_a_database_that_is_busy_again_and_again_costs_nothing_but_time(site, images, tmp_path, expected):
    flow = start_flow(site, images, tmp_path)
    [database] = site.home.glob("*.db")
    while flow.poll() is None:
        with sqlite3.connect(database, timeout=60, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(1)
            other.execute("ROLLBACK")
        other.close()
        time.sleep(0.2)
    assert flow.returncode == 0, flow.communicate()[0].decode()
    assert results(tmp_path) == expected
