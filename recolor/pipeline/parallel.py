"""Many parts at once on one machine: threads, because the decoders release Python's lock."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from recolor.config.settings import ExecutionConfig
from recolor.errors import RecolorError, StorageError
from recolor.pipeline.workers import worker_processes

MAX_PARTS = 300  # in one plan: Prefect's server on SQLite stalls with more tasks in a run

P = TypeVar("P")
R = TypeVar("R")


def worker_count(config: ExecutionConfig) -> int:
    """Parts under way at once: as configured, or one for each core that this process may use."""
    if config.workers:
        return config.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def decoding(images: int, execution: ExecutionConfig, worth_from: int) -> Iterator[bool]:
    """While it is open, `in_process` has worker processes: if they are asked for, or worth starting.

    Args:
        images: How many are going to be decoded.
        execution: How many processes, and whether there are any.
        worth_from: With so many images, `auto` starts them: it takes half a second.

    Yields:
        Whether there are any.
    """
    workers = worker_count(execution)
    worth = execution.runner == "auto" and images >= worth_from
    apart = execution.runner == "processes" or worth
    with worker_processes(workers if apart else 0):
        yield apart


def run_parallel(
    function: Callable[[P], R],
    parts: Sequence[P],
    config: ExecutionConfig,
    label: str,
    images: Callable[[P], int],
    *,
    tell: Callable[[P], str] | None = None,
) -> list[R]:
    """Runs `function` on every part, with a progress bar in images; a failing part does not stop the others.

    Args:
        function: Does one part.
        parts: The parts.
        config: How many at once.
        label: What the bar calls the work.
        images: Number of images in a part.
        tell: What the bar says besides, asked after each part that did not fail.

    Returns:
        The results, in the order of the parts.

    Raises:
        RecolorError: Some part failed, or several did: all others are done, and each failure is listed.
    """
    bar = tqdm(total=sum(images(part) for part in parts), desc=label, unit=" images", disable=None, delay=1)
    with ThreadPoolExecutor(worker_count(config)) as pool, bar:
        futures = {pool.submit(function, part): part for part in parts}
        try:
            for future in as_completed(futures):
                bar.update(images(futures[future]))
                if tell and not bar.disable and future.exception() is None:
                    bar.set_postfix_str(tell(futures[future]))
                if isinstance(future.exception(), StorageError):
                    break  # a full disk is as full for the parts that wait
        finally:  # after Ctrl-C too: the parts under way end, those that wait are not begun
            pool.shutdown(wait=True, cancel_futures=True)
    failures = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
    raise_together(failures, len(parts), label)
    return [future.result() for future in futures]


def raise_together(failures: Sequence[BaseException], parts: int, label: str) -> None:
    """Raises what went wrong in some parts, once all parts have ended; does nothing if nothing did.

    Raises:
        RecolorError: Expected errors, of the first one's class, each listed.
        BaseException: The first unexpected error, as it is: that is a defect, and its trace says where.
    """
    if not failures:
        return
    for error in failures:
        if not isinstance(error, RecolorError):
            raise error
    listed = "\n  ".join(str(error) for error in failures[:20])
    raise type(failures[0])(f"{label}: {len(failures)} of {parts} parts failed; what was finished is kept.\n  {listed}")
