"""Parallel work on one machine, in threads.

Decoders, numpy, OpenCV and torch release the GIL.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from recolor.config.settings import ExecutionConfig
from recolor.errors import RecolorError, StorageError
from recolor.pipeline.progress import Progress
from recolor.pipeline.workers import worker_processes

MAX_PARTS = 300  # in one plan: Prefect's server on SQLite stalls with more tasks in a run

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")


def worker_count(config: ExecutionConfig) -> int:
    """Returns the number of parts to run at once.

    By default this is the number of cores of this process.
    """
    if config.workers:
        return config.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def decoding(images: int, execution: ExecutionConfig, worth_from: int, calls: int | None = None) -> Iterator[bool]:
    """Starts worker processes for `in_process` if they are configured or worth starting.

    Args:
        images: Number of images to decode.
        execution: Number of processes, and whether to use any.
        worth_from: Number of images from which `auto` starts them; starting takes half a second.
        calls: Number of calls of `in_process` to come; no more processes are started. By default one for each image.

    Yields:
        Whether worker processes were started.
    """
    workers = min(worker_count(execution), images if calls is None else calls)
    worth = execution.runner == "auto" and images >= worth_from
    in_processes = execution.runner == "processes" or worth
    with worker_processes(workers if in_processes else 0):
        yield in_processes


def run_parallel(
    function: Callable[[P], R],
    parts: Sequence[P],
    config: ExecutionConfig,
    label: str,
    images: Callable[[P], int],
    *,
    progress_text: Callable[[P], str] | None = None,
) -> list[R]:
    """Runs `function` on every part, and shows the progress in images.

    A failing part stops no other.

    Args:
        function: Does one part.
        parts: The parts.
        config: Number of parts to run at once.
        label: Label of the progress.
        images: Number of images in a part.
        progress_text: Returns more text for the progress; called after each part that succeeded.

    Returns:
        The results, in the order of the parts.

    Raises:
        RecolorError: One or more parts failed. All others are done, and each failure is listed.
    """
    progress = Progress(label, sum(images(part) for part in parts), "images")
    with ThreadPoolExecutor(worker_count(config)) as pool, progress:
        futures = {pool.submit(function, part): part for part in parts}
        try:
            for future in as_completed(futures):
                if progress_text and progress.shown and future.exception() is None:
                    progress.set_text(progress_text(futures[future]))
                progress.update(images(futures[future]))
                if isinstance(future.exception(), StorageError):
                    break  # a full disk is full for the other parts too
        finally:  # after Ctrl-C too: running parts end, waiting parts are cancelled
            pool.shutdown(wait=True, cancel_futures=True)
    failures = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
    raise_together(failures, len(parts), label)
    return [future.result() for future in futures]


def raise_together(failures: Sequence[BaseException], parts: int, label: str) -> None:
    """Raises the failures of parts as one error, once all parts have ended.

    Returns if there are none.

    Raises:
        RecolorError: All failures are expected errors: an error of the first one's class that lists each.
        BaseException: The first unexpected error, unchanged, so that its traceback leads to the defect.
    """
    if not failures:
        return
    expected = [error for error in failures if isinstance(error, RecolorError)]
    for error in failures:
        if not isinstance(error, RecolorError):
            raise error
    listed = "\n  ".join(str(error) for error in failures[:20])
    raise expected[0].with_message(
        f"{label}: {len(failures)} of {parts} parts failed; finished parts are kept.\n  {listed}"
    )


def on_all_cores(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Returns the function's result for each item, in order, computed by one thread per core."""
    if len(items) <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(len(items), worker_count(ExecutionConfig()))) as pool:
        return list(pool.map(function, items))


def in_threads(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Maps a function in threads, and yields the results in order.

    At most `ahead` items are started before their results are requested.
    """
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
