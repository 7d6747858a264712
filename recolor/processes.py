"""Calls in worker processes: Python's lock is not shared with them, and a decoder that crashes does not end the run.

They are started afresh, not forked: whoever calls has threads. They end with their parent, however that ends.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Lock, Thread
from typing import ParamSpec, TypeVar

from recolor.errors import ProcessDiedError

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class _Pool:
    """Some processes; new ones as soon as one of them has died, as that breaks an executor."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.executor = _executor(count)
        self._lock = Lock()

    def renew(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self.executor is broken:  # not if another thread was faster
                broken.shutdown(wait=True, cancel_futures=True)
                self.executor = _executor(self.count)


_pools: list[_Pool] = []  # the last one is used; more than one if runs overlap in time


@contextmanager
def worker_processes(count: int) -> Iterator[None]:
    """While it is open, calls of `in_process` by any thread are done by so many processes.

    If they cannot be started (a program that is not guarded by `if __name__ == "__main__"` starts again in each of
    them), a warning says so, and the calls are done where they are made.

    Args:
        count: Number of processes; with 0 there are none, and calls are done where they are made.
    """
    if not count:
        yield
        return
    pool = _Pool(count)
    try:
        for started in [pool.executor.submit(os.getpid) for _ in range(count)]:  # a process is started by each
            started.result()
    except BrokenProcessPool:
        _log.warning("No worker processes could be started, going on with threads. See multiprocessing's 'spawn'.")
        yield
        return
    _pools.append(pool)
    try:
        yield
    finally:
        _pools.remove(pool)
        pool.executor.shutdown(wait=True, cancel_futures=True)


def in_process(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Calls a function in a worker process if some are open, or else here; waits for the result.

    Raises:
        ProcessDiedError: The process died, or another did and took all with it. The call may be tried again.
        Exception: What the function raised.
    """
    if not _pools:
        return function(*arguments, **named)
    pool = _pools[-1]
    executor = pool.executor
    try:
        return executor.submit(function, *arguments, **named).result()
    except BrokenProcessPool as error:
        pool.renew(executor)
        raise ProcessDiedError("a worker process died") from error


def in_own_process(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Calls a function in a process that nothing else runs in; waits for the result.

    Raises:
        ProcessDiedError: The process died.
        Exception: What the function raised.
    """
    with _executor(1) as executor:
        try:
            return executor.submit(function, *arguments, **named).result()
        except BrokenProcessPool as error:
            raise ProcessDiedError("its process died") from error


def _executor(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin_worker)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes: the parent decides
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for work that a killed parent will never send."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
