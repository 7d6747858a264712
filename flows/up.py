"""Server, worker and deployments of this folder, in one command, on this machine alone: `recolor up`.

Nothing is left behind: what is started ends with this process, on Ctrl-C and however else that ends (see
`flows.plugin`), and a run that was under way is marked as crashed, now or when this is started again.
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
from filelock import FileLock, Timeout
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

PROJECT = Path(__file__).resolve().parents[1]
_HOST = "127.0.0.1"
_USUAL_PORT = 4200  # of `plugin.API_URL`
_GRACE_S = 10
_LOOK_EVERY_S = 0.5

_WELCOME = """
Recolor is up, for this machine alone. Look at http://{host}:{port}

In another terminal, in {folder}:
  {prefix}prefect deployment run clean-and-train{images}
  {prefix}prefect deployment run clean -p blurry.threshold=0.4

Ctrl-C ends everything here; what was finished is kept.
"""


@click.command("up")
@images_option
@workspace_option
@preset_option
@click.option("--port", type=click.IntRange(1, 65535), default=_USUAL_PORT, help="Of the server and its UI.  [4200]")
def program(images: Path | None, workspace: Path, preset: Preset | None, port: int) -> None:
    """Starts server, worker and deployments, says where they are, and waits."""
    if images is not None and not images.expanduser().is_dir():
        raise InputError(f"{images}: no such folder.")
    if not (PROJECT / "prefect.yaml").is_file():
        raise ConfigError(f"{PROJECT}: no prefect.yaml here. `recolor up` needs the project's folder: pip install -e .")
    _check_port(port)
    places = {"images": images, "workspace": workspace}
    defaults = {name: str(place.expanduser().absolute()) for name, place in places.items() if place is not None}
    for stop in (signal.SIGINT, signal.SIGTERM):  # the first too: shells have their background jobs ignore it
        signal.signal(stop, signal.default_int_handler)
    with _alone(), temporary_settings({PREFECT_API_URL: _api(port)}), _services(port) as services:
        with get_client(sync_client=True) as client:
            _deploy(client, port, {**defaults, "preset": preset} if preset else defaults)
        click.echo(_welcome(port, images))
        _until(lambda: False, services)


@contextmanager
def _services(port: int) -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    """While it is open, a server and a worker run; at its end they are gone, and so are the worker's runs."""
    services: dict[str, subprocess.Popen[bytes]] = {}
    words = ["server", "start", "--host", _HOST, "--port", str(port), "--log-level", "WARNING"]
    with _server_log().open("w") as log:
        services["server"] = _start(port, *words, stdout=log, stderr=log)
    try:
        _until(lambda: _answers(port, "health"), services)
        _mark_ended()
        words = ["worker", "start", "--pool", "local", "--type", "process", "--name", "recolor-up"]
        services["worker"] = _start(port, *words)
        _until(lambda: _answers(port, "work_pools/local"), services)
        yield services
    finally:
        if worker := services.get("worker"):
            worker.kill()  # asked to end, it would wait for its runs; these see that it is gone
            worker.wait()
            _mark_ended()
        _end(services["server"])


def _start(port: int, *words: str, **how: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - Prefect's command line
        ["prefect", *words],  # noqa: S607 - of the environment that this runs in
        cwd=PROJECT,
        env=_environment(port),
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C reaches all of a terminal's processes: this one decides
        **how,
    )


def _deploy(client: SyncPrefectClient, port: int, defaults: Mapping[str, str]) -> None:
    """Deploys all of prefect.yaml, with these parameters, and makes the limits that are not there yet."""
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


def _mark_ended() -> None:
    """Says of deployments' runs whose worker is gone that they are, or they would be shown as running for ever."""
    under_way = FlowRunFilterState(
        type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    )
    state: State[Any] = Crashed(message="`recolor up` was stopped. What was finished is kept: run it again to go on.")
    deployed = FlowRunFilter(state=under_way, deployment_id=FlowRunFilterDeploymentId(is_null_=False))
    with get_client(sync_client=True) as client:
        runs = [run.id for run in client.read_flow_runs(flow_run_filter=deployed)]
        inside = FlowRunFilter(state=under_way, parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=runs))
        runs += [run.id for run in client.read_flow_runs(flow_run_filter=inside)]
        for run in runs:
            client.set_flow_run_state(run, state, force=True)


def _server_log() -> Path:
    """Where the server's own words go: of no use to anyone until it fails."""
    return _home() / "recolor-up.log"


def _home() -> Path:
    """Where Prefect keeps its database."""
    home = get_current_settings().home
    home.mkdir(parents=True, exist_ok=True)
    return home


@contextmanager
def _alone() -> Iterator[None]:
    """Sees to it that no other server of ours is on the same database.

    Raises:
        InputError: One is.
    """
    lock = FileLock(_home() / "recolor-up.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"`recolor up` is running already, on the database in {_home()}. End it, or set PREFECT_HOME to another"
            " folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _until(ready: Callable[[], bool], services: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Waits, for as long as all services run.

    Raises:
        RecolorError: One has ended.
    """
    while not ready():
        for name, process in services.items():
            if process.poll() is not None:
                raise RecolorError(
                    f"the {name} has ended by itself (exit code {process.returncode}), so all has. The server said:"
                    f" {_server_log()}"
                )
        time.sleep(_LOOK_EVERY_S)


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
        wanted.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or one just closed would count as taken
        try:
            wanted.bind((_HOST, port))
        except OSError as error:
            raise InputError(
                f"port {port} is taken ({error.strerror}): is `recolor up` running already? Then look at"
                f" http://{_HOST}:{port}. Otherwise give another: --port {port + 1}."
            ) from error


def _environment(port: int) -> dict[str, str]:
    """What all that is started here is told: this server, no reports to anyone, and with whom to end."""
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
