"""Who runs the parts of a stage: threads of the flow's own process, or the workers of a Dask cluster."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from recolor.config.settings import ExecutionConfig
from recolor.errors import ConfigError
from recolor.pipeline.parallel import worker_count
from recolor.pipeline.workspace import Workspace


@contextmanager
def task_runner(execution: ExecutionConfig) -> Iterator[TaskRunner[Any]]:
    """The task runner that the settings ask for, started."""
    if execution.runner == "dask":
        from flows.cluster import cluster_runner

        with cluster_runner(execution.dask_address) as cluster:
            yield cluster
    else:
        threads: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=worker_count(execution))
        with threads as started:
            yield started


def check_runner(execution: ExecutionConfig, workspace: Workspace, images: Path) -> None:
    """Makes sure, before any work, that a cluster can do it; of another runner there is nothing to check.

    Args:
        execution: Which runner, and where.
        workspace: Held by this process.
        images: The folder of photographs, absolute.

    Raises:
        ConfigError: The cluster is not there, or a worker has another version or does not see the folders.
    """
    if execution.runner != "dask":
        return
    if importlib.util.find_spec("prefect_dask") is None:
        raise ConfigError("execution.runner = 'dask': Prefect's runner for it is not installed: pip install '.[dask]'.")
    from flows.cluster import check_cluster

    check_cluster(execution.dask_address, workspace, images)
