"""What is refused before any work when parts are to run on a cluster."""

import importlib
import socket

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.parameters import Settings
from flows.runners import check_runner, check_server
from recolor.config.loading import overlay
from recolor.config.settings import Config, ExecutionConfig
from recolor.errors import ConfigError
from recolor.pipeline.cache import fingerprint
from recolor.pipeline.workspace import locked

ON_DASK = ExecutionConfig(runner="dask", dask_address="tcp://127.0.0.1:1")


@pytest.fixture
def cluster(monkeypatch):
    pytest.importorskip("prefect_dask", reason="needs the extra `dask`")
    module = importlib.import_module("flows.cluster")
    with socket.socket() as server:  # answers nobody, unless a test says so
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(module, "_server_url", lambda: f"http://127.0.0.1:{server.getsockname()[1]}/api")
        yield module


class Workers:
    """Stands for a connection to workers, of which each sees what `sights` makes of what it should."""

    def __init__(self, *, reach=True, **sights):
        self.sights, self.reach = sights, reach

    def __call__(self, address):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def run(self, function, *arguments):
        if function.__name__ == "_reaches":
            return {name: self.reach or function(*arguments) for name in self.sights}
        return {name: tuple(see(function(*arguments))) for name, see in self.sights.items()}


def alike(facts):
    return facts


def test_a_cluster_of_alike_workers_is_taken(cluster, workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_connected", Workers(one=alike, two=alike))
    with locked(workspace):
        check_runner(ON_DASK, workspace, tmp_path)


@pytest.mark.parametrize(
    ("sees", "said"),
    [
        (lambda facts: ("has Recolor 0.0.1", *facts[1:]), "it has Recolor 0.0.1, and this machine has Recolor"),
        (lambda facts: (facts[0], "sees the workspace /w held by process 7", facts[2]), "held by process 7"),
        (lambda facts: (*facts[:2], "does not see the folder /photographs"), "does not see the folder /photographs"),
    ],
)
def test_a_worker_that_sees_something_else_is_named(cluster, workspace, monkeypatch, sees, said):
    monkeypatch.setattr(cluster, "_connected", Workers(one=alike, two=sees))
    with locked(workspace), pytest.raises(ConfigError, match=f"(?s)Dask worker two: .*{said}.*shared file system"):
        check_runner(ON_DASK, workspace, workspace.root)


def test_a_worker_that_does_not_reach_the_server_of_the_run_is_named(cluster, workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_connected", Workers(reach=False, one=alike))
    said = r"worker one: it does not reach the Prefect server of this run, http://127\.0\.0\.1:\d+/api\. Start "
    with locked(workspace), pytest.raises(ConfigError, match=said):
        check_runner(ON_DASK, workspace, tmp_path)


def test_a_cluster_without_workers_is_refused(cluster, workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_connected", Workers())
    with pytest.raises(ConfigError, match="no worker is connected"):
        check_runner(ON_DASK, workspace, tmp_path)


def test_an_address_where_no_scheduler_answers_is_refused(cluster, workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConfigError, match="no Dask scheduler answers"):
            check_runner(ExecutionConfig(runner="dask", dask_address=address), workspace, tmp_path)


def test_without_the_extra_the_error_says_how_to_install_it(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[dask\]'"):
        check_runner(ON_DASK, workspace, tmp_path)


def test_dask_without_an_address_is_refused():
    with pytest.raises(ConfigError, match="--dask-address"):
        overlay(Config(), {"execution": {"runner": "dask"}})


def test_the_form_offers_the_runners_and_no_stage_is_keyed_by_them():
    choices = Settings.model_json_schema()["$defs"]["ExecutionSettings"]["properties"]["runner"]["anyOf"][0]["enum"]
    assert choices == ["auto", "threads", "processes", "dask"]
    here, there = Config(), overlay(Config(), {"execution": {"runner": "dask", "dask_address": "tcp://10.0.0.1:8786"}})
    for name in Config.__dataclass_fields__:
        same = fingerprint(getattr(here, name)) == fingerprint(getattr(there, name))
        assert same == (name != "execution"), name


@pytest.mark.parametrize(
    ("url", "why"),
    [("http://127.0.0.1:9/api", "Connection refused"), ("nonsense", "missing an 'http://' or 'https://' protocol")],
)
def test_a_server_that_does_not_answer_is_one_sentence_that_says_what_to_do(url, why):
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(ConfigError) as caught:
        check_server()
    assert str(caught.value).startswith(f"PREFECT_API_URL = {url}: no Prefect server answers there (")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_server_that_is_set_there_is_no_check():
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        check_server()
