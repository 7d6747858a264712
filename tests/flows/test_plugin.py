"""What is typed: deployments by one name, settings by dotted ones; and what is started ends with what started it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from prefect.utilities.callables import parameter_schema

from flows.clean import clean
from flows.plugin import (
    API_URL,
    PARENT,
    by_either_name,
    check_names,
    dotted_settings,
    nested,
    setup_environment,
    with_dotted_settings,
)

PROJECT = Path(__file__).parents[2]
SCHEMA = parameter_schema(clean.fn).model_dump()
PARENT_PROGRAM = """
import os, subprocess, sys, time
child = "import os, prefect; print(os.getpid(), flush=True); import time; time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], env=os.environ | {sys.argv[1]: str(os.getpid())})
time.sleep(600)
"""


class Client:
    """Stands for Prefect's client: its deployments, as FLOW/DEPLOYMENT, and the runs that were asked for."""

    def __init__(self, *names, settings=None):
        self.names, self.settings, self.created = names, settings or {}, []

    async def read_deployments(self):
        return [SimpleNamespace(flow_id=name.split("/")[0], name=name.split("/")[1]) for name in self.names]

    async def read_flow(self, flow_id):
        return SimpleNamespace(name=flow_id)

    async def read_deployment(self, deployment_id):
        return SimpleNamespace(parameters={"preset": "quick", "settings": self.settings})

    async def read(self, name):
        return SimpleNamespace(full_name=name, parameter_openapi_schema={"properties": {}})

    async def create(self, deployment_id, *, parameters=None, **others):
        self.created.append((parameters, others))


def read(client, name):
    return asyncio.run(by_either_name(Client.read)(client, name)).full_name


def created(client, **how):
    asyncio.run(with_dotted_settings(Client.create)(client, "id", **how))
    return client.created[-1]


def test_a_name_without_a_slash_is_the_one_deployment_of_that_name():
    client = Client("clean-and-train/clean-and-train", "clean/clean", "clean/nightly")
    assert read(client, "clean") == "clean/clean"
    assert read(client, "nightly") == "clean/nightly"
    assert read(client, "clean-and-train") == "clean-and-train/clean-and-train"
    assert read(client, "whatever/it is") == "whatever/it is"


def test_a_name_of_none_or_of_several_is_refused_and_says_which_there_are():
    with pytest.raises(SystemExit, match=r"No deployment is called 'claen'. There are: clean/clean, shard/shard"):
        read(Client("shard/shard", "clean/clean"), "claen")
    with pytest.raises(SystemExit, match=r"There are none: run `recolor up`"):
        read(Client(), "clean")
    with pytest.raises(SystemExit, match=r"Several .* 'local'\. Say which: clean/local, shard/local"):
        read(Client("shard/local", "clean/local"), "local")


@pytest.mark.parametrize("words", [["-p", "blury.threshold=0.4"], ["--param=blury.threshold=0.4"]])
def test_a_mistyped_setting_on_the_command_line_is_answered_with_the_nearest(words, monkeypatch):
    async def read_clean(client, name):
        return SimpleNamespace(parameter_openapi_schema=parameter_schema(clean.fn).model_dump())

    read_either = by_either_name(read_clean)
    monkeypatch.setattr(sys, "argv", ["/bin/prefect", "deployment", "run", "clean", *words])
    with pytest.raises(SystemExit, match=r"no parameter 'blury.threshold'. Did you mean 'blurry.threshold'\?"):
        asyncio.run(read_either(Client("clean/clean"), "clean"))
    monkeypatch.setattr(sys, "argv", ["program.py", *words])
    assert asyncio.run(read_either(Client("clean/clean"), "clean"))


def test_names_that_are_known_or_like_none_are_left_to_prefect_and_a_last_part_is_completed():
    known = ["images", "blurry.threshold", "skewed.threshold", "generator.train.lr"]
    check_names(["images", "blurry.threshold", "zzz"], known)
    with pytest.raises(SystemExit, match=r"'threshold'. Did you mean 'blurry.threshold' or 'skewed.threshold'\?"):
        check_names(["threshold"], known)


def test_without_a_server_what_is_typed_is_answered_in_one_line_and_a_program_gets_the_error(monkeypatch):
    class Unreachable(Client):
        api_url = "http://nowhere/api"

        async def read_deployments(self):
            raise httpx.ConnectError("refused")

    monkeypatch.setattr(sys, "argv", ["/bin/prefect", "deployment", "run", "clean"])
    with pytest.raises(SystemExit, match=r"^No Prefect server answers at http://nowhere/api\. Start one.*recolor up"):
        read(Unreachable(), "clean")
    monkeypatch.setattr(sys, "argv", ["program.py"])
    with pytest.raises(httpx.ConnectError):
        read(Unreachable(), "clean")


def test_dotted_parameters_become_settings_and_change_what_is_given_or_deployed():
    dotted = {"blurry.threshold": 0.4, "generator.train.steps": 9, "images": "/photos"}
    wanted = {"blurry": {"threshold": 0.4}, "generator": {"train": {"steps": 9}}}
    assert created(Client(), parameters=dotted, tags=["x"]) == (
        {"images": "/photos", "settings": wanted},
        {"tags": ["x"]},
    )

    deployed = {"blurry": {"threshold": 0.1, "enabled": True}, "skewed": {"threshold": 0.2}}
    changed, _ = created(Client(settings=deployed), parameters={"blurry.threshold": 0.4})
    assert changed["settings"] == {"blurry": {"threshold": 0.4, "enabled": True}, "skewed": {"threshold": 0.2}}
    assert deployed["blurry"]["threshold"] == 0.1

    given = {"settings": {"skewed": {"threshold": 0.3}}, "blurry.threshold": 0.4}
    changed, _ = created(Client(settings=deployed), parameters=given)
    assert changed["settings"] == {"skewed": {"threshold": 0.3}, "blurry": {"threshold": 0.4}}


def test_a_run_without_dotted_parameters_is_created_as_it_always_was():
    assert created(Client(settings={"blurry": {}}), parameters={"preset": "demo"}) == ({"preset": "demo"}, {})
    assert created(Client()) == ({}, {})


def test_settings_overlay_null_and_what_is_no_table():
    assert nested({"blurry": None}, {"blurry.threshold": 1}) == {"blurry": {"threshold": 1}}


def test_every_setting_has_its_dotted_name_and_a_description():
    names = dotted_settings(SCHEMA)
    assert {"blurry.threshold", "generator.train.lr", "refiner.model.width", "execution.workers"} <= set(names)
    assert "generator.train" not in names
    assert [name for name, schema in names.items() if not schema.get("description")] == []
    assert dotted_settings({"properties": {"x": {}}}) == {}


@pytest.mark.parametrize(
    ("program", "configured", "url"),
    [("prefect", None, API_URL), ("prefect", "http://elsewhere/api", None), ("python", None, None)],
)
def test_what_is_typed_goes_to_recolor_up_unless_another_server_is_set(program, configured, url, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"/somewhere/bin/{program}", "deployment", "run"])
    monkeypatch.delenv(PARENT, raising=False)
    result = setup_environment(ctx=SimpleNamespace(api_url=configured))
    assert (result.env["PREFECT_API_URL"] if result else None) == url


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_what_recolor_up_has_started_ends_when_that_is_killed():
    command = [sys.executable, "-c", PARENT_PROGRAM, PARENT]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert running(child)
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(child)
