"""`recolor up`: Prefect's server, a worker and all deployments, in one command.

Everything runs on this machine. All processes that it starts end with it, on Ctrl-C or for any other reason (see
`flows.plugin`). A run that was under way is marked as crashed, at once or when `recolor up` is started again.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
from filelock import Timeout
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect.states import Crashed

from flows.devices import limits_of_this_machine
from flows.plugin import PARENT
from recolor.cli.options import images_option, preset_option, workspace_option
from recolor.cli.running import run_reporting_errors
from recolor.config.presets import Preset
from recolor.errors import ConfigError, InputError, RecolorError
from recolor.pipeline.workspace import process_lock

PROJECT = Path(__file__).resolve().parents[1]
_HOST = "127.0.0.1"
_USUAL_PORT = 4200  # of `plugin.API_URL`
_GRACE_S = 10
_POLL_EVERY_S = 0.5

_WELCOME = """
Recolor is up, for this machine only: http://{host}:{port}

In another terminal, in {folder}:
  {prefix}prefect deployment run clean-and-train{images}
  {prefix}prefect deployment run clean -p blurry.threshold=0.4

Ctrl-C ends server, worker and runs; finished work is kept.
"""


@click.command("up")
@images_option
@workspace_option
@preset_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=_USUAL_PORT,
    show_default=True,
    help="Port of the server and its UI.",
)
def program(images: Path | None, workspace: Path, preset: Preset | None, port: int) -> None:
    """Starts server, worker and deployments, prints the address of the UI, and waits."""
    if images is not None and not images.is_dir():
        raise InputError(f"{images}: no such folder.")
    if not (PROJECT / "prefect.yaml").is_file():
        raise ConfigError(f"{PROJECT}: no prefect.yaml here. `recolor up` needs the project's folder: pip install -e .")
    _check_port(port)
    places = {"images": images, "workspace": workspace}
    defaults = {name: str(place.absolute()) for name, place in places.items() if place is not None}
    for stop in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: shells make their background jobs ignore it
        signal.signal(stop, signal.default_int_handler)
    with _only_instance(), temporary_settings({PREFECT_API_URL: _api(port)}), _services(port) as services:
        with get_client(sync_client=True) as client:
            _deploy(client, port, {**defaults, "preset": preset} if preset else defaults)
        click.echo(_welcome(port, images))
        _wait_until(lambda: False, services)


@contextmanager
def _services(port: int) -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    """Runs a server and a worker while the context is open.

    Then ends both, and the worker's runs.
    """
    services: dict[str, subprocess.Popen[bytes]] = {}
    arguments = ["server", "start", "--host", _HOST, "--port", str(port), "--log-level", "WARNING"]
    with _server_log().open("w") as log:
        services["server"] = _start(port, *arguments, stdout=log, stderr=log)
    try:
        _wait_until(lambda: _answers(port, "health"), services)
        _mark_crashed()
        arguments = ["worker", "start", "--pool", "local", "--type", "process", "--name", "recolor-up"]
        services["worker"] = _start(port, *arguments)
        _wait_until(lambda: _answers(port, "work_pools/local"), services)
        yield services
    finally:
        if worker := services.get("worker"):
            worker.kill()  # on SIGTERM it would wait for its runs; they end when their parent is gone
            worker.wait()
            _mark_crashed()
        _end(services["server"])


def _start(port: int, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - Prefect's command line
        ["prefect", *arguments],  # noqa: S607 - found on the PATH of `_environment`
        cwd=PROJECT,
        env=_environment(port),
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C would reach it too; this process ends it instead
        **options,
    )


def _deploy(client: SyncPrefectClient, port: int, defaults: Mapping[str, str]) -> None:
    """Deploys all of prefect.yaml with these default parameters.

    Also creates the concurrency limits that do not exist yet.
    """
    command = ["prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(  # noqa: S603 - as above
        command, cwd=PROJECT, env=_environment(port), check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RecolorError(f"prefect deploy: {done.stdout}{done.stderr}")
    for deployment in client.read_deployments():
        client.update_deployment(deployment.id, DeploymentUpdate(parameters=dict(defaults)))
    for name, limit in limits_of_this_machine().items():
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=limit))


def _mark_crashed() -> None:
    """Sets unfinished runs of deployments to Crashed.

    Their worker is gone, and they would show as running for ever.
    """
    under_way = FlowRunFilterState(
        type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    )
    state: State[Any] = Crashed(message="`recolor up` was stopped. Finished work is kept: run it again to continue.")
    deployed = FlowRunFilter(state=under_way, deployment_id=FlowRunFilterDeploymentId(is_null_=False))
    with get_client(sync_client=True) as client:
        runs = [run.id for run in client.read_flow_runs(flow_run_filter=deployed)]
        inside = FlowRunFilter(state=under_way, parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=runs))
        runs += [run.id for run in client.read_flow_runs(flow_run_filter=inside)]
        for run in runs:
            client.set_flow_run_state(run, state, force=True)


def _server_log() -> Path:
    """Returns the path of the server's log file, which is read only if the server fails."""
    return _home() / "recolor-up.log"


def _home() -> Path:
    """Returns the folder of Prefect's database; makes it if it does not exist."""
    home = get_current_settings().home
    home.mkdir(parents=True, exist_ok=True)
    return home


@contextmanager
def _only_instance() -> Iterator[None]:
    """Holds a lock, so that only one `recolor up` uses the database.

    Raises:
        InputError: Another `recolor up` uses it.
    """
    lock = process_lock(_home() / "recolor-up.lock")
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"`recolor up` is already running with the database in {_home()}. End it, or set PREFECT_HOME to another"
            " folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _wait_until(ready: Callable[[], bool], services: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Waits until `ready` returns True, while all services run.

    Raises:
        RecolorError: A service has ended.
    """
    while not ready():
        for name, process in services.items():
            if process.poll() is not None:
                raise RecolorError(
                    f"the {name} ended unexpectedly (exit code {process.returncode}), so everything was stopped. The"
                    f" server's log: {_server_log()}"
                )
        time.sleep(_POLL_EVERY_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"{_api(port)}/{path}", timeout=10).is_success
    except httpx.TransportError:
        return False


def _check_port(port: int) -> None:
    with socket.socket() as wanted:
        wanted.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just closed counts as free
        try:
            wanted.bind((_HOST, port))
        except OSError as error:
            raise InputError(
                f"port {port} is in use ({error.strerror}). If `recolor up` is already running, open"
                f" http://{_HOST}:{port}. Otherwise choose another port: --port {port + 1}."
            ) from error


def _environment(port: int) -> dict[str, str]:
    """Returns the environment of server, worker and runs.

    It sets the server's address and the parent process, and switches telemetry off.
    """
    ours = {
        "PREFECT_API_URL": _api(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PWD": str(PROJECT),  # prefect.yaml names it
        PARENT: str(os.getpid()),
    }
    return {**os.environ, **ours, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def _api(port: int) -> str:
    return f"http://{_HOST}:{port}/api"


def _welcome(port: int, images: Path | None) -> str:
    usual = port == _USUAL_PORT and "PREFECT_API_URL" not in os.environ
    return _WELCOME.format(
        host=_HOST,
        port=port,
        folder=PROJECT,
        prefix="" if usual else f"PREFECT_API_URL={_api(port)} ",
        images="" if images else " -p images=FOLDER",
    )


if __name__ == "__main__":
    run_reporting_errors(program)
