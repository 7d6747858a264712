"""Ends the runs of processes that were killed: their flow runs, subflows and tasks become Crashed.

A killed process cannot report to the server, where its runs would show as running for ever. Each process therefore
locks a file for each of its flow runs, in the folder `recolor-runs` of Prefect's home. The operating system releases
the lock when the process ends, for any reason. The next run of Recolor with that home, and `recolor up`, look for files
that are no longer locked. Runs of live processes, and runs of other projects, are never touched.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from filelock import BaseFileLock, Timeout
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Crashed

from recolor.pipeline.workspace import process_lock

T = TypeVar("T")

KILLED = "The process of this run was killed. Finished work is kept: run it again to continue."
# The states in which a run has a process, or is about to get one.
UNDER_WAY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
# What a run has started may also wait for a retry.
_UNFINISHED = [*UNDER_WAY, StateType.SCHEDULED, StateType.PAUSED]
_GUARD_S = 60.0
_FORGOTTEN_AFTER_S = 30 * 24 * 3600.0
_PAGE = 200  # the server's limit, unless it is configured

_held: dict[UUID, BaseFileLock] = {}  # until this process ends


def runs_folder() -> Path:
    """Returns the folder with a locked file for each live flow run; makes it if it does not exist."""
    folder = get_current_settings().home / "recolor-runs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def hold_run(run: UUID) -> None:
    """Locks the file of a flow run until this process ends."""
    folder = runs_folder()
    with _guarded(folder):
        lock = process_lock(folder / str(run))
        with suppress(Timeout):  # another process of the same run holds it
            lock.acquire()
            _held[run] = lock


def end_dead_runs(client: SyncPrefectClient) -> None:
    """Sets what killed processes have left unfinished to Crashed: flow runs, their subflows, and their tasks.

    Runs that this server does not know are left for the server that does; their files are deleted after 30 days.
    """
    files = _files_of_dead()
    if not files:
        return
    dead = FlowRunFilter(id=FlowRunFilterId(any_=list(files)))
    known = [run.id for run in read_flow_runs(client, dead)]
    mark_crashed(client, known, KILLED)
    for run, file in files.items():
        with suppress(FileNotFoundError):  # another process has deleted it
            if run in known or time.time() - file.stat().st_mtime > _FORGOTTEN_AFTER_S:
                file.unlink()


def mark_crashed(client: SyncPrefectClient, runs: Collection[UUID], message: str) -> None:
    """Sets flow runs, their subflows and their tasks to Crashed, as far as they are unfinished.

    Args:
        client: Client of the server.
        runs: The flow runs. Nobody works on them any more.
        message: Message of the state.
    """
    if not runs:
        return
    family = _with_subflows(client, runs)
    inside = FlowRunFilter(id=FlowRunFilterId(any_=family))
    tasks = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=_UNFINISHED)))
    flows = FlowRunFilter(id=FlowRunFilterId(any_=family), state=state_is_one_of(_UNFINISHED))
    # All are read before any is changed, as a changed one would no longer count for the offset.
    task_runs = _pages(
        lambda offset: client.read_task_runs(flow_run_filter=inside, task_run_filter=tasks, offset=offset, limit=_PAGE)
    )
    flow_runs = read_flow_runs(client, flows)
    for task_run in task_runs:
        with suppress(ObjectNotFound):
            client.set_task_run_state(task_run.id, Crashed(message=message), force=True)
    for flow_run in flow_runs:
        with suppress(ObjectNotFound):
            client.set_flow_run_state(flow_run.id, Crashed(message=message), force=True)


def state_is_one_of(types: list[StateType]) -> FlowRunFilterState:
    """Returns the filter of flow runs whose state has one of these types."""
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=types))


def read_flow_runs(client: SyncPrefectClient, chosen: FlowRunFilter) -> list[FlowRun]:
    """Returns all flow runs of a filter."""
    return _pages(lambda offset: client.read_flow_runs(flow_run_filter=chosen, offset=offset, limit=_PAGE))


def _with_subflows(client: SyncPrefectClient, runs: Collection[UUID]) -> list[UUID]:
    """Returns the flow runs and all runs below them."""
    family, parents = list(runs), list(runs)
    while parents:
        below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=parents))
        found = read_flow_runs(client, below)
        parents = [run.id for run in found if run.id not in family]
        family += parents
    return family


def _files_of_dead() -> dict[UUID, Path]:
    """Returns the files that no process has locked, by flow run."""
    folder = runs_folder()
    dead = {}
    with _guarded(folder):
        for file in folder.iterdir():
            with suppress(ValueError, Timeout):  # another file; a live run
                run = UUID(file.name.removesuffix(".soft"))
                if run in _held:
                    continue
                with process_lock(folder / str(run)):
                    dead[run] = file
    return dead


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """Keeps the moment between making a file and locking it from other processes, which would take the run for dead."""
    with process_lock(folder / "guard").acquire(timeout=_GUARD_S):
        yield


def _pages(read: Callable[[int], list[T]]) -> list[T]:
    """Returns everything that the server has, page by page."""
    found = page = read(0)
    while len(page) == _PAGE:
        page = read(len(found))
        found = found + page
    return found
