"""Calls in worker processes: Python's lock is not shared with them, and a decoder that crashes does not end the run.

A worker is this module, run by a Python of its own. It takes a call from its connection, sends back what came of it,
and ends as soon as the other end is closed, however the parent ended. Unlike multiprocessing's it does not run the
parent's main program again, whatever that is (Prefect's takes seconds), and one that dies takes no other call along.
"""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from recolor.errors import ProcessDiedError

P = ParamSpec("P")
R = TypeVar("R")

_LAST_MOMENTS_S = 10.0  # between the end of its connection and of the process


@dataclass(frozen=True, slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection

    def died_of(self) -> ProcessDiedError:
        """Why it has ended; waits for its end. No program sends itself SIGKILL; `time_limit` sends SIGALRM."""
        try:
            ended_by = -self.process.wait(_LAST_MOMENTS_S)
        except subprocess.TimeoutExpired:
            return ProcessDiedError()
        return ProcessDiedError(killed=ended_by == signal.SIGKILL, timed_out=ended_by == signal.SIGALRM)

    def end(self) -> None:
        """At once: it keeps nothing that would be lost."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


_Idle = SimpleQueue[_Worker]
_open: list[_Idle] = []  # the last one is used; more than one if runs overlap in time


@contextmanager
def worker_processes(count: int) -> Iterator[None]:
    """While it is open, calls of `in_process` by any thread are done by so many processes.

    Args:
        count: Number of processes; with 0 there are none, and calls are done where they are made.
    """
    if not count:
        yield
        return
    idle: _Idle = SimpleQueue()
    for _ in range(count):
        idle.put(_start())
    _open.append(idle)
    try:
        yield
    finally:
        _open.remove(idle)
        for _ in range(count):  # waits for calls under way
            idle.get().end()


def in_process(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Calls a function in a worker process if some are open, or else here; waits for the result.

    Args:
        function: Found again by its module and name.
        arguments: What it is called with.
        named: The same, by name.

    Raises:
        ProcessDiedError: The process died of it. Another one takes the next call.
        Exception: What the function raised, with the worker's trace as a note.
    """
    if not _open:
        return function(*arguments, **named)
    with _worker_of(_open[-1]) as worker:
        try:
            worker.connection.send((function, arguments, named))
            result, error = worker.connection.recv()
        except (EOFError, OSError) as died:
            raise worker.died_of() from died
    if error is not None:
        raise error
    value: R = result
    return value


@contextmanager
def time_limit(limit_s: float) -> Iterator[None]:
    """Ends this process, if it is a worker, unless the block ends in time; the call has a `ProcessDiedError` then.

    The system does it, so that it also reaches a decoder that never returns to Python.

    Args:
        limit_s: Seconds, above 0.
    """
    if not _is_worker():
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _is_worker() -> bool:
    program = sys.modules["__main__"].__spec__
    return program is not None and program.name == __name__


@contextmanager
def _worker_of(idle: _Idle) -> Iterator[_Worker]:
    """An idle worker. If the call is broken off, by whatever, its late answer would be taken for the next call's."""
    worker = idle.get()
    try:
        yield worker
    except BaseException:
        worker.end()
        worker = _start()
        raise
    finally:
        idle.put(worker)


def _start() -> _Worker:
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - this Python and this module
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            # The workers are the parallelism: threads of numpy's matrix products would fight them.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            process_group=0,  # Ctrl-C reaches all of a terminal's processes: the parent decides
        )
    return _Worker(process, ours)


def _serve(connection: Connection) -> None:
    """Does calls until the other end is closed."""
    while True:
        try:
            function, arguments, named = connection.recv()
        except EOFError:
            return
        answer: tuple[object, Exception | None]
        try:
            answer = (function(*arguments, **named), None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the call was made
            error.add_note(traceback.format_exc())
            answer = (None, error)
        try:
            connection.send(answer)
        except BrokenPipeError:
            return


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
