"""Runs parts on a Dask cluster, with prefect-dask's task runner.

Imported on demand: it needs the extra `dask`. The cluster must already be running; it is given by its scheduler's
address. Its workers read the photographs and write the parts themselves, on a shared file system mounted at the same
paths everywhere. Only paths and settings travel through Dask. If a worker is lost, Dask gives its unfinished parts to
other workers.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, Worker, WorkerPlugin
from prefect.task_runners import TaskRunner
from prefect_dask.task_runners import DaskTaskRunner

from recolor import __version__
from recolor.errors import ConfigError
from recolor.pipeline.workers import worker_processes
from recolor.pipeline.workspace import Workspace

_DECODERS = "recolor-decoders"
_CONNECT_S = 10.0
_ADVICE = (
    "Every worker needs this version of Recolor, and the workspace and the photographs on a shared file system, at the"
    " same paths as here."
)


class DecoderProcesses(WorkerPlugin):
    """Starts decoder processes in each Dask worker, one for each of its threads.

    A decoder that crashes then costs one image, as on a single machine, and does not end the Dask worker.
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
    """Yields Prefect's task runner for the cluster with this scheduler address."""
    with DaskTaskRunner(address=address) as cluster:
        cluster.client.register_plugin(DecoderProcesses(), name=_DECODERS)
        try:
            yield cluster
        finally:
            cluster.client.unregister_worker_plugin(_DECODERS)


def check_cluster(address: str, workspace: Workspace, images: Path) -> None:
    """Checks that every worker has this version of Recolor and sees these folders.

    Args:
        address: Address of the scheduler.
        workspace: Locked by this process; the name of the lock's holder tells it from another folder at the same path.
        images: Folder of photographs, absolute.

    Raises:
        ConfigError: A worker fails the check, no worker is connected, or no scheduler answers.
    """
    with _connected(address) as client:
        found = client.run(_environment_facts, workspace, images)
    if not found:
        raise ConfigError(f"dask_address = {address!r}: no worker is connected. Start some: `dask worker {address}`.")
    here = _environment_facts(workspace, images)
    for worker, there in found.items():
        for fact, expected in zip(there, here, strict=True):
            if fact != expected:
                raise ConfigError(f"Dask worker {worker}: it {fact}, and this machine {expected}. {_ADVICE}")


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


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]  # Dask has few types
    except (OSError, ValueError) as error:
        raise ConfigError(f"dask_address = {address!r}: no Dask scheduler answers there ({error}).") from error
    with client:
        yield client
