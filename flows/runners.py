"""The task runner for the parts of a stage: threads, or workers of a Dask cluster."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from recolor.config.settings import ExecutionConfig
from recolor.errors import ConfigError
from recolor.pipeline.parallel import worker_count
from recolor.pipeline.workspace import Workspace


def check_server() -> None:
    """Checks, before any work, that the Prefect server of PREFECT_API_URL answers. Without one there is no check.

    Raises:
        ConfigError: The server does not answer; the message says why.
    """
    url = get_current_settings().api.url
    if not url:
        return
    error = get_client(sync_client=True).api_healthcheck()
    if isinstance(error, httpx.TransportError):
        raise ConfigError(
            f"PREFECT_API_URL = {url}: no Prefect server answers there ({error}). Start it (`recolor up`, or `prefect"
            " server start`), correct the address, or unset PREFECT_API_URL: a temporary server is then started."
        )


@contextmanager
def task_runner(execution: ExecutionConfig) -> Iterator[TaskRunner[Any]]:
    """Starts and yields the task runner that is configured."""
    if execution.runner == "dask":
        from flows.cluster import cluster_runner

        with cluster_runner(execution.dask_address) as cluster:
            yield cluster
    else:
        threads: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=worker_count(execution))
        with threads as started:
            yield started


def check_runner(execution: ExecutionConfig, workspace: Workspace, images: Path) -> None:
    """Checks, before any work, that a Dask cluster is usable. Other runners need no check.

    Args:
        execution: Runner, and the scheduler's address.
        workspace: Locked by this process.
        images: Folder of photographs, absolute.

    Raises:
        ConfigError: No scheduler answers, or a worker has another version of Recolor or does not see the folders.
    """
    if execution.runner != "dask":
        return
    if importlib.util.find_spec("prefect_dask") is None:
        raise ConfigError("execution.runner = 'dask': Prefect's runner for it is not installed: pip install '.[dask]'.")
    from flows.cluster import check_cluster

    check_cluster(execution.dask_address, workspace, images)
