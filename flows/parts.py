"""How stages look in Prefect: what is current shows as Cached, parts run in parallel, all end before one fails."""

import errno
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed

from flows.artifacts import Progress
from flows.parameters import Run
from flows.runners import task_runner
from recolor.config.settings import ExecutionConfig
from recolor.pipeline.cache import Outcome
from recolor.pipeline.parallel import raise_together

P = TypeVar("P")

# Errors of a busy disk or network share, that may be gone a moment later. Nothing else is tried again.
_MENDABLE = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}


def mendable(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again can help: a passing error of the storage, not a damaged image or a bad setting."""
    del task, task_run
    error = state.result(raise_on_failure=False)
    while isinstance(error, BaseException):
        if isinstance(error, OSError) and error.errno in _MENDABLE:
            return True
        error = error.__cause__
    return False


# Records decide what is done (see `recolor.pipeline.cache`), so Prefect's own cache is off.
TASK: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_condition_fn": mendable,
}


def ran(work: Task[..., Any] | Flow[..., Any], *arguments: object) -> Outcome:
    """Calls a task or a flow here and now; its outcome, whether it ended as Completed or as Cached.

    Raises:
        Exception: What the task or flow raised.
    """
    state: State[Outcome] = work(*arguments, return_state=True)  # type: ignore[assignment]  # not a coroutine here
    return _finished(state.result())


def _finished(result: object) -> Outcome:
    assert isinstance(result, Outcome)
    return result


def ran_all(work: Task[..., Any], run: Run, words: Sequence[str]) -> list[Outcome]:
    """Submits a task for each word, all at once; their outcomes, in the order of the words."""
    futures: list[PrefectFuture[Any]] = [work.submit(run, word) for word in words]
    return _all_finished(futures, work.name)


def run_parts(
    work: Task[..., Outcome],
    run: Run,
    parts: Sequence[P],
    images: Callable[[P], int],
    label: str,
    *,
    tell: Callable[[P], str] | None = None,
    execution: ExecutionConfig | None = None,
) -> list[Outcome]:
    """Submits each part as a task and waits for all of them, with a progress artifact.

    Args:
        work: The task; its parameters are `run` and `part`.
        run: The run.
        parts: The parts that are missing; those that are done are not submitted.
        images: Number of images in a part.
        label: The stage's name.
        tell: What the progress artifact says besides, asked after each part that did not fail.
        execution: How many parts are under way at once, if not as many as the run is configured for.

    Returns:
        What each part did.

    Raises:
        RecolorError: Some parts failed; all others are done and each failure is listed.
    """
    if not parts:
        return []
    with task_runner(execution or run.config.execution) as runner:
        futures: dict[PrefectFuture[Any], P] = {runner.submit(work, {"run": run, "part": part}): part for part in parts}
        _show_progress(futures, images, label, tell)
        return _all_finished(list(futures), label)


def _all_finished(futures: Sequence[PrefectFuture[Any]], label: str) -> list[Outcome]:
    """Waits for all; then, if some failed, says which."""
    results: list[object] = [future.result(raise_on_failure=False) for future in futures]
    raise_together([result for result in results if isinstance(result, BaseException)], len(futures), label)
    return [_finished(result) for result in results]


def _show_progress(
    futures: dict[PrefectFuture[Any], P], images: Callable[[P], int], label: str, tell: Callable[[P], str] | None
) -> None:
    progress = Progress(f"{label}-progress", f"{label}: images done")
    total, done = sum(images(part) for part in futures.values()), 0
    for future in as_completed(list(futures)):
        future.wait()
        part = futures[future]
        done += images(part)
        more = tell(part) if tell and future.state.is_completed() else ""
        progress.show(done / total, f"{done:,} of {total:,}{', ' if more else ''}{more}", at_once=done == total)
