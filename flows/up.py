"""`recolor up`: a worker, all deployments and the pages, on a Prefect server of its own or on an existing one.

Everything that it starts runs on this machine and ends with it, on Ctrl-C or for any other reason (see
`flows.plugin`). The runs of a killed process are marked as crashed: while `recolor up` runs, when it ends, and when it
is started again. Deployments, runs and limits of other projects on the same server are not changed.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx
from filelock import Timeout
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from flows.dead_runs import UNDER_WAY, end_dead_runs, mark_crashed, read_flow_runs, state_is_one_of
from flows.deploy import POOL, POOL_TYPE, PROJECT, check_beside_others, create_missing_limits, deploy, our_deployments
from flows.pages import pages_environment, serving_pages
from flows.plugin import PARENT, exists
from recolor.cli.options import images_option, workspace_option
from recolor.cli.running import run_reporting_errors
from recolor.errors import InputError, RecolorError
from recolor.pipeline.workspace import Workspace, process_lock

_HOST = "127.0.0.1"
_USUAL_PORT = 4200  # of `plugin.API_URL`
_GRACE_S = 10
_POLL_EVERY_S = 0.5
_SWEEP_EVERY_S = 5.0
_STOPPED = "`recolor up` was stopped. Finished work is kept: run it again to continue."

_PLUGIN_ON = "PREFECT_PLUGINS_ENABLED=1"

_WELCOME = """
Recolor is up{audience}: {ui}
Report and gallery: {pages}

In another terminal, in {folder}:
  {prefix}prefect deployment run clean-and-train{images}
  {prefix}prefect deployment run clean -p blurry.threshold=0.4
{elsewhere}
{end}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A Prefect server.

    Attributes:
        api: URL of its API, such as `http://127.0.0.1:4200/api`.
        port: Port to start it on. None: it exists, and is neither started nor stopped.
    """

    api: str
    port: int | None

    @property
    def is_own(self) -> bool:
        """Whether `recolor up` starts it; then nobody else uses the pool."""
        return self.port is not None


@click.command("up")
@images_option
@workspace_option
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the server and its UI.", default=_USUAL_PORT)
@click.option("--server", "api", metavar="URL", help="URL of the API of an existing Prefect server.")
@click.option("--pages-port", type=click.IntRange(0, 65535), help="Port of the pages; 0 is a free one.", default=0)
def program(images: Path | None, workspace: Path, port: int, api: str | None, pages_port: int) -> None:
    """Starts server, worker and deployments, prints the address of the UI, and waits."""
    server = Server(f"http://{_HOST}:{port}/api", port) if api is None else Server(api_url(api), None)
    if server.is_own:
        _check_port(port)
    for stop in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: shells make their background jobs ignore it
        signal.signal(stop, signal.default_int_handler)
    shown = Workspace(workspace.absolute())
    with (
        _only_instance(server),
        serving_pages(shown, pages_port) as pages,
        temporary_settings({PREFECT_API_URL: server.api}),
        _services(server, pages_environment(shown, pages)) as (services, client),
    ):
        click.echo("Deploying the flows ...")
        deploy(client, _environment(server), default_parameters(images, workspace))
        create_missing_limits(client)
        click.echo(_welcome(server, images, pages))
        while True:
            until = time.monotonic() + _SWEEP_EVERY_S
            _wait_until(lambda until=until: time.monotonic() > until, services)  # type: ignore[misc]
            with suppress(httpx.HTTPError):  # the server is busy or gone; the worker says so
                end_dead_runs(client)


def default_parameters(images: Path | None, workspace: Path) -> dict[str, Any]:
    """Returns the default parameters of the deployments: the folders.

    The settings are in the workspace's recolor.toml, where each run reads them when it starts, as every command does.
    """
    places = {"images": images, "workspace": workspace}
    return {name: str(place.absolute()) for name, place in places.items() if place is not None}


def api_url(url: str) -> str:
    """Returns the URL of a server's API; that of its UI is completed.

    `http://127.0.0.1:4200` becomes `http://127.0.0.1:4200/api`.
    """
    url = url.rstrip("/")
    return url if "/api" in url else f"{url}/api"


@contextmanager
def _services(
    server: Server, runs: Mapping[str, str]
) -> Iterator[tuple[dict[str, subprocess.Popen[bytes]], SyncPrefectClient]]:
    """Runs a worker, and a server if it is to be ours, while the context is open; `runs` is for the runs' environment.

    Then ends both, and the worker's runs.
    """
    services: dict[str, subprocess.Popen[bytes]] = {}
    try:
        if server.is_own:
            arguments = ["server", "start", "--host", _HOST, "--port", str(server.port), "--log-level", "WARNING"]
            with _server_log().open("w") as log:
                services["server"] = _start(server, *arguments, stdout=log, stderr=log)
            _wait_until(lambda: _is_healthy(server), services)
        with get_client(sync_client=True) as client:
            if not server.is_own:
                _check_answers(client, server)
            check_beside_others(client)
            end_left_runs(client, server)
            click.echo("Starting a worker ...")
            arguments = ["worker", "start", "--pool", POOL, "--type", POOL_TYPE, "--name", worker_name()]
            services["worker"] = _start(server, *arguments, env={**_environment(server), **runs})
            _wait_until(lambda: _has_pool(client), services)
            try:
                yield services, client
            finally:
                _end_worker(services, client, server)
    finally:
        for process in reversed(services.values()):
            _end(process)


def _end_worker(services: Mapping[str, subprocess.Popen[bytes]], client: SyncPrefectClient, server: Server) -> None:
    services["worker"].kill()  # on SIGTERM it would wait for its runs; they end when their parent is gone
    services["worker"].wait()
    if server.is_own and services["server"].poll() is not None:
        return  # the runs are marked when `recolor up` is started again
    with suppress(httpx.HTTPError):  # as above
        deadline = time.monotonic() + _GRACE_S
        while any(map(_has_process, _runs_under_way(client))) and time.monotonic() < deadline:
            time.sleep(_POLL_EVERY_S)
        time.sleep(_POLL_EVERY_S)  # the flow itself runs in a process below that one, and ends a moment later
        end_left_runs(client, server)


def end_left_runs(client: SyncPrefectClient, server: Server) -> None:
    """Marks runs of our deployments as crashed that have no process any more, and all that they have started.

    A run under way on our own server has its process on this machine. On an existing server, another worker of the
    pool, on any machine, may have it: only runs whose file was locked on this machine are known to be dead, and pending
    runs while no other worker is there.
    """
    left = [run for run in _runs_under_way(client) if not _has_process(run)]
    if left and not server.is_own:
        left = [] if _has_other_workers(client) else [run for run in left if run.state_type is StateType.PENDING]
    mark_crashed(client, [run.id for run in left], _STOPPED)
    end_dead_runs(client)


def _runs_under_way(client: SyncPrefectClient) -> list[FlowRun]:
    ours = FlowRunFilterDeploymentId(any_=[deployment.id for deployment in our_deployments(client)])
    return read_flow_runs(client, FlowRunFilter(state=state_is_one_of(UNDER_WAY), deployment_id=ours))


def _has_process(run: FlowRun) -> bool:
    """Returns whether the process that a worker has started for a run exists on this machine."""
    if not (run.infrastructure_pid or "").isdigit():
        return False
    process = Path("/proc") / str(run.infrastructure_pid)
    if not process.parent.is_dir():  # macOS
        return exists(int(str(run.infrastructure_pid)))
    try:  # another process may have the number by now
        return f"PREFECT__FLOW_RUN_ID={run.id}".encode() in (process / "environ").read_bytes()
    except OSError:
        return False


def _has_other_workers(client: SyncPrefectClient) -> bool:
    workers = client.read_workers_for_work_pool(POOL)
    return any(worker.status == WorkerStatus.ONLINE and worker.name != worker_name() for worker in workers)


def worker_name() -> str:
    """Returns the name of the worker that `recolor up` starts on this machine."""
    return f"recolor-up-{socket.gethostname()}"


def _start(server: Server, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    options.setdefault("env", _environment(server))
    return subprocess.Popen(  # noqa: S603 - Prefect's command line
        [sys.executable, "-m", "prefect", *arguments],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C would reach it too; this process ends it instead
        **options,
    )


def _server_log() -> Path:
    """Returns the path of the server's log file, which is read only if the server fails."""
    return _home() / "recolor-up.log"


def _home() -> Path:
    """Returns Prefect's folder, with the database of our own server; makes it if it does not exist."""
    home = get_current_settings().home
    home.mkdir(parents=True, exist_ok=True)
    return home


@contextmanager
def _only_instance(server: Server) -> Iterator[None]:
    """Holds a lock, so that only one `recolor up` uses Prefect's folder with our own server, or an existing server.

    Raises:
        InputError: Another `recolor up` does.
    """
    lock = process_lock(_home() / ("recolor-up.lock" if server.is_own else f"recolor-up-{quote(server.api, '')}.lock"))
    try:
        lock.acquire()
    except Timeout as error:
        if server.is_own:
            raise InputError(
                f"`recolor up` is already running with Prefect's folder {_home()}. End it, or give another --workspace"
                " (or another PREFECT_HOME, if that is set)."
            ) from error
        raise InputError(f"`recolor up` is already running with the server {server.api}. End it first.") from error
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


def _is_healthy(server: Server) -> bool:
    try:
        return httpx.get(f"{server.api}/health", timeout=10).is_success
    except httpx.TransportError:
        return False


def _has_pool(client: SyncPrefectClient) -> bool:
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        return False
    return True


def _check_answers(client: SyncPrefectClient, server: Server) -> None:
    if (error := client.api_healthcheck()) is not None:
        why = str(error).partition("\n")[0]
        raise InputError(
            f"--server {server.api}: no Prefect server answers there ({why}). Correct the address, or leave --server"
            " out: `recolor up` then starts a server of its own."
        )


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


def _environment(server: Server) -> dict[str, str]:
    """Returns the environment of server, worker and runs.

    It sets the server's address and the parent process, and switches telemetry off.
    """
    ours = {
        "PREFECT_API_URL": server.api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PWD": str(PROJECT),  # prefect.yaml names it
        PARENT: str(os.getpid()),
    }
    return {**os.environ, **ours, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def _welcome(server: Server, images: Path | None, pages: str) -> str:
    """Returns what to type next, in the folder in which `recolor up` was typed.

    Prefect reads `pyproject.toml`, which switches the plugin of the short names on, in the current folder only.
    """
    in_project = Path.cwd() == PROJECT and (PROJECT / "pyproject.toml").is_file()
    usual = server.port == _USUAL_PORT and "PREFECT_API_URL" not in os.environ
    return _WELCOME.format(
        audience=", for this machine only" if server.is_own else "",
        ui=server.api.removesuffix("/api"),
        pages=pages,
        folder="this folder" if in_project else "any folder",
        prefix=("" if usual else f"PREFECT_API_URL={server.api} ") + ("" if in_project else f"{_PLUGIN_ON} "),
        images="" if images else " -p images=FOLDER",
        elsewhere=f"In any other folder, type {_PLUGIN_ON} before `prefect`.\n" if in_project else "",
        end=f"Ctrl-C ends {'server, ' if server.is_own else ''}worker and runs; finished work is kept.",
    )


if __name__ == "__main__":
    run_reporting_errors(program)
