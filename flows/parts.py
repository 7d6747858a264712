"""Runs stages and their parts as Prefect tasks.

If a part fails, the others still run to their end.
"""

import errno
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed

from flows.artifacts import Progress, artifact_key
from flows.parameters import Run
from flows.runners import task_runner
from recolor.config.settings import ExecutionConfig
from recolor.pipeline.cache import Outcome
from recolor.pipeline.parallel import raise_together
from recolor.pipeline.progress import Progress as LoggedProgress

P = TypeVar("P")

# Errors of a busy disk or network share, which may pass. Only these are retried.
_TRANSIENT = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}


def is_transient(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Returns whether a task failed by a transient error of the storage, and is retried."""
    del task, task_run
    error = state.result(raise_on_failure=False)
    while isinstance(error, BaseException):
        if isinstance(error, OSError) and error.errno in _TRANSIENT:
            return True
        error = error.__cause__
    return False


# Recolor's records decide what has to be done (see `recolor.pipeline.cache`), so Prefect's cache is off.
TASK: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_condition_fn": is_transient,
}


def run_now(work: Task[..., Any] | Flow[..., Any], *arguments: object) -> Outcome:
    """Calls a task or flow in this process and returns its outcome.

    Its state may be Completed or Cached.

    Raises:
        Exception: The exception that the task or flow raised.
    """
    state: State[Outcome] = work(*arguments, return_state=True)  # type: ignore[assignment]  # not a coroutine here
    return _finished(state.result())


def _finished(result: object) -> Outcome:
    assert isinstance(result, Outcome)
    return result


def submit_all(work: Task[..., Any], run: Run, arguments: Sequence[str]) -> list[Outcome]:
    """Submits the task once for each argument, and returns all outcomes in this order."""
    futures: list[PrefectFuture[Any]] = [work.submit(run, argument) for argument in arguments]
    return _all_finished(futures, work.name)


def run_parts(
    work: Task[..., Outcome],
    run: Run,
    parts: Sequence[P],
    images: Callable[[P], int],
    label: str,
    *,
    progress_text: Callable[[P], str] | None = None,
    execution: ExecutionConfig | None = None,
) -> list[Outcome]:
    """Submits each part as a task and waits for all of them, with a progress artifact.

    Args:
        work: The task; its parameters are `run` and `part`.
        run: First argument of the task.
        parts: The missing parts; finished parts are not submitted.
        images: Returns the number of images in a part.
        label: Name of the stage.
        progress_text: Returns more text for the progress artifact; called after each part that succeeded.
        execution: Overrides the run's own settings for parallel execution.

    Returns:
        The outcome of each part.

    Raises:
        RecolorError: One or more parts failed. All others are done, and each failure is listed.
    """
    if not parts:
        return []
    with task_runner(execution or run.config.execution) as runner:
        futures: dict[PrefectFuture[Any], P] = {runner.submit(work, {"run": run, "part": part}): part for part in parts}
        progress = Progress(artifact_key(run.workspace, f"{label}-progress"), f"{label}: images done")
        _show_progress(futures, images, label, progress, progress_text)
        return _all_finished(list(futures), label)


def _all_finished(futures: Sequence[PrefectFuture[Any]], label: str) -> list[Outcome]:
    """Waits for all futures and returns their outcomes; raises the failures together."""
    results: list[object] = [future.result(raise_on_failure=False) for future in futures]
    raise_together([result for result in results if isinstance(result, BaseException)], len(futures), label)
    return [_finished(result) for result in results]


def _show_progress(
    futures: dict[PrefectFuture[Any], P],
    images: Callable[[P], int],
    label: str,
    progress: Progress,
    progress_text: Callable[[P], str] | None,
) -> None:
    total, done = sum(images(part) for part in futures.values()), 0
    with LoggedProgress(label, total, "images") as logged:
        for future in as_completed(list(futures)):
            future.wait()
            part = futures[future]
            done += images(part)
            more = progress_text(part) if progress_text and future.state.is_completed() else ""
            progress.show(done / total, f"{done:,} of {total:,}{', ' if more else ''}{more}", at_once=done == total)
            logged.set_text(more)
            logged.update(images(part))
