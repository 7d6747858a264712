"""Runs parts on a Dask cluster, with prefect-dask's task runner.

Imported on demand: it needs the extra `dask`. The cluster must already be running; it is given by its scheduler's
address. Its workers read the photographs and write the parts themselves, on a shared file system mounted at the same
paths everywhere. Only paths and settings travel through Dask. If a worker is lost, Dask gives its unfinished parts to
other workers. Workers report to the Prefect server of the flow run, and start none of their own.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from distributed import Client, Scheduler, Worker, WorkerPlugin
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner
from prefect_dask.task_runners import DaskTaskRunner

from recolor import __version__
from recolor.errors import ConfigError
from recolor.pipeline.workers import worker_processes
from recolor.pipeline.workspace import Workspace

_DECODERS = "recolor-decoders-"  # and the id of the run's Dask client
_CONNECT_S = 10.0
_ADVICE = (
    "Every worker needs this version of Recolor, and the workspace and the photographs on a shared file system, at the"
    " same paths as here."
)


class DecoderProcesses(WorkerPlugin):
    """Starts decoder processes in each Dask worker, one for each of its threads.

    A decoder that crashes then costs one image, as on a single machine, and does not end the Dask worker. Each run on
    the cluster has its own.
    """

    def setup(self, worker: Worker) -> None:
        """Called by Dask when a worker joins, or when the plugin is registered."""
        self._open = ExitStack()
        self._open.enter_context(worker_processes(worker.state.nthreads))

    def teardown(self, worker: Worker) -> None:
        """Called by Dask when the worker leaves, or when the plugin is unregistered."""
        del worker
        self._open.close()


@contextmanager
def cluster_runner(address: str) -> Iterator[TaskRunner[Any]]:
    """Yields Prefect's task runner for the cluster with this scheduler address.

    Also ends the decoder processes of runs that were killed.
    """
    # The settings travel with each task. Without the server's address, every worker would start a server.
    with temporary_settings({PREFECT_API_URL: _server_url()}), DaskTaskRunner(address=address) as cluster:
        client = cluster.client
        for left in client.run_on_scheduler(_plugins_of_dead_runs):
            client.unregister_worker_plugin(left)
        client.register_plugin(DecoderProcesses(), name=_DECODERS + client.id)
        try:
            yield cluster
        finally:
            client.unregister_worker_plugin(_DECODERS + client.id)


def _plugins_of_dead_runs(dask_scheduler: Scheduler) -> list[str]:
    """Returns the names of our plugins whose client has disconnected; runs on the scheduler."""
    ours = [name for name in dask_scheduler.worker_plugins if name.startswith(_DECODERS)]
    return [name for name in ours if name.removeprefix(_DECODERS) not in dask_scheduler.clients]


def _server_url() -> str:
    """Returns the URL of the API that this run reports to: the one that is set, or that of its temporary server."""
    with get_client(sync_client=True) as client:
        return str(client.api_url).rstrip("/")


def check_cluster(address: str, workspace: Workspace, images: Path) -> None:
    """Checks that every worker has this version of Recolor, sees these folders, and reaches the Prefect server.

    Args:
        address: Address of the scheduler.
        workspace: Locked by this process; the name of the lock's holder tells it from another folder at the same path.
        images: Folder of photographs, absolute.

    Raises:
        ConfigError: A worker fails the check, no worker is connected, or no scheduler answers.
    """
    server = _server_url()
    with _connected(address) as client:
        found = client.run(_environment_facts, workspace, images)
        reached = client.run(_reaches, server)
    if not found:
        raise ConfigError(f"dask_address = {address!r}: no worker is connected. Start some: `dask worker {address}`.")
    here = _environment_facts(workspace, images)
    for worker, there in found.items():
        for fact, expected in zip(there, here, strict=True):
            if fact != expected:
                raise ConfigError(f"Dask worker {worker}: it {fact}, and this machine {expected}. {_ADVICE}")
        if not reached[worker]:
            raise ConfigError(
                f"Dask worker {worker}: it does not reach the Prefect server of this run, {server}. Start a server that"
                " every machine reaches, such as `prefect server start --host 0.0.0.0` in a network that you trust, and"
                " set PREFECT_API_URL to its address here. (A temporary server is reached by this machine alone.)"
            )


def _environment_facts(workspace: Workspace, images: Path) -> tuple[str, str, str]:
    """Returns what a process sees of the version, the workspace and the photographs, in words."""
    try:
        holder = (workspace.internal / "holder").read_text(errors="replace")
    except OSError:
        holder = "nobody, as it is not there"
    return (
        f"has Recolor {__version__}",
        f"sees the workspace {workspace.root} held by {holder}",
        f"{'sees' if images.is_dir() else 'does not see'} the folder {images}",
    )


def _reaches(server: str) -> bool:
    """Returns whether anything answers at this URL; access and certificates are left to Prefect."""
    try:
        httpx.get(f"{server}/health", timeout=_CONNECT_S, verify=False)  # noqa: S501 - only whether it answers
    except (httpx.TransportError, httpx.InvalidURL):
        return False
    return True


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]  # Dask has few types
    except (OSError, ValueError) as error:
        raise ConfigError(f"dask_address = {address!r}: no Dask scheduler answers there ({error}).") from error
    with client:
        yield client
