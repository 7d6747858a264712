"""`recolor up` up to the moment at which Prefect is loaded: checks, the first line, the environment."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from cli.program import recolor
from click.testing import CliRunner

from recolor.cli.flows import _SETTINGS
from recolor.cli.main import cli
from recolor.cli.options import Target, read_settings
from recolor.config.loading import load_config
from recolor.errors import ConfigError, InputError
from recolor.status import StageStatus

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The command lines and environments with which Prefect would have been started."""
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setattr(os, "execve", lambda program, command, environment: calls.append((command, environment)))
    return calls


def up(*words):
    return CliRunner().invoke(cli, ["up", *map(str, words)])


def test_it_says_something_first_and_then_starts_with_a_home_in_the_workspace(started, tmp_path):
    answer = up("--workspace", tmp_path)
    assert answer.output == "Starting Prefect's server ...\n"
    [(command, environment)] = started
    assert command[1:] == ["-m", "flows.up", "--workspace", str(tmp_path), "--port", "4200"]
    assert environment["PREFECT_HOME"] == str(tmp_path / ".recolor" / "prefect")
    assert set(_SETTINGS.items()) <= set(environment.items()) | set(os.environ.items())


def test_its_settings_are_saved_for_every_command_and_it_says_so(started, tmp_path):
    answer = up("--workspace", tmp_path, "--set", "blurry.threshold=0.4", "--preset", "quick")
    file = tmp_path / "recolor.toml"
    assert answer.stderr == f'recolor: saved in {file}: preset = "quick", blurry.threshold = 0.4\n'
    assert started[0][0][3:] == ["--workspace", str(tmp_path), "--port", "4200"]
    quick = load_config("quick")
    given_nothing = read_settings(Target(None, tmp_path, None, None, ()))
    assert given_nothing == replace(quick, blurry=replace(quick.blurry, threshold=0.4))


def test_a_home_of_prefect_that_is_set_is_used(started, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    up("--workspace", tmp_path)
    assert started[0][1]["PREFECT_HOME"] == str(tmp_path / "home")


def test_an_existing_server_is_used_with_the_home_of_the_user(started, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    answer = up("--workspace", tmp_path, "--server", "http://host:4200/api")
    assert answer.output == "Connecting to http://host:4200/api ...\n"
    [(command, environment)] = started
    assert command[-2:] == ["--server", "http://host:4200/api"]
    assert "PREFECT_HOME" not in environment


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--set", "blurry.threshold=3"], ConfigError, "blurry.threshold"),
        (["--set", "blury.threshold=0.4"], ConfigError, "blury"),
        (["--config", "nowhere.toml"], ConfigError, "nowhere.toml: the settings file cannot be read"),
        (["--images", "nowhere"], InputError, "nowhere: no such folder"),
    ],
)
def test_options_are_checked_before_anything_is_started(words, error, said, started, tmp_path):
    answer = up(*words)
    assert isinstance(answer.exception, error)
    assert said in str(answer.exception)
    assert (answer.output, started, list(tmp_path.iterdir())) == ("", [], [])


def test_a_port_of_the_pages_is_handed_on(started, tmp_path):
    up("--workspace", tmp_path, "--pages-port", "8765")
    assert started[0][0][-2:] == ["--pages-port", "8765"]


def test_a_port_of_a_server_that_exists_is_refused(started, tmp_path):
    answer = up("--workspace", tmp_path, "--server", "http://host:4200/api", "--port", "4201")
    assert answer.exit_code == 2
    assert "--port is for a server that is started" in answer.output
    assert started == []


def test_the_settings_of_prefect_are_those_of_the_projects_folder():
    table = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["prefect"]
    there = {f"PREFECT_{name.upper()}": text(value) for name, value in leaves(table)}
    assert there == {name: value for name, value in _SETTINGS.items() if name != "DO_NOT_TRACK"}


def leaves(table, at=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{at}{key}_")
        else:
            yield at + key, value


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("states", "does"), [(("current", "current"), "stages"), (("current", "stale"), "flow")])
def test_a_demo_with_nothing_to_do_starts_no_flow(states, does, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("recolor.demo.make_demo_images", lambda folder: folder.mkdir(parents=True))
    monkeypatch.setattr("recolor.demo.demo_summary", lambda *_: "summary")
    monkeypatch.setattr("recolor.status.workspace_status", lambda *_: [StageStatus("index", state) for state in states])
    monkeypatch.setattr("recolor.cli.flows._run_flow", lambda _: done.append("flow"))
    monkeypatch.setattr("recolor.cli.flows.run_stages", lambda *_: done.append("stages"))
    ended = recolor("demo", "--folder", tmp_path)
    assert (ended.stdout, done) == ("summary\n", [does])
    assert ("no flow is started" in ended.stderr) == (does == "stages")
