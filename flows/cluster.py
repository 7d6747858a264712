"""Parts on a Dask cluster, by Prefect's own task runner for it; loaded on demand, as it needs the extra `dask`.

A cluster is given by its scheduler's address, and is never started here. Its workers read the photographs and write the
parts themselves, on a file system that all see at the same paths: through Dask go paths and settings alone. A worker
that is lost costs the parts that it had under way, which Dask gives to others.
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
    """Gives each Dask worker as many processes to decode in as it has threads.

    So a decoder that crashes costs the worker one image, as on a single machine, and not itself.
    """

    def setup(self, worker: Worker) -> None:
        """Called by Dask when the worker, or this, is new to the other."""
        self._open = ExitStack()
        self._open.enter_context(worker_processes(worker.state.nthreads))

    def teardown(self, worker: Worker) -> None:
        """Called by Dask when either goes."""
        del worker
        self._open.close()


@contextmanager
def cluster_runner(address: str) -> Iterator[TaskRunner[Any]]:
    """Prefect's task runner on the cluster of this scheduler."""
    with DaskTaskRunner(address=address) as cluster:
        cluster.client.register_plugin(DecoderProcesses(), name=_DECODERS)
        try:
            yield cluster
        finally:
            cluster.client.unregister_worker_plugin(_DECODERS)


def check_cluster(address: str, workspace: Workspace, images: Path) -> None:
    """Makes sure that every worker has this version and sees these folders.

    Args:
        address: The scheduler's.
        workspace: Held by this process: who holds it tells it from another at the same path.
        images: The folder of photographs, absolute.

    Raises:
        ConfigError: One does not, there is none, or no scheduler answers.
    """
    with _connected(address) as client:
        seen = client.run(_sight, workspace, images)
    if not seen:
        raise ConfigError(f"dask_address = {address!r}: no worker is connected. Start some: `dask worker {address}`.")
    here = _sight(workspace, images)
    for worker, there in seen.items():
        for fact, expected in zip(there, here, strict=True):
            if fact != expected:
                raise ConfigError(f"Dask worker {worker}: it {fact}, and this machine {expected}. {_ADVICE}")


def _sight(workspace: Workspace, images: Path) -> tuple[str, str, str]:
    """What a process has of what it needs: the version, the workspace, the photographs."""
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
