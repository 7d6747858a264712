"""Function calls in worker processes, which do not share the GIL.

A decoder that crashes does not end the run. A worker process runs this module. It receives a call from its connection,
sends back the result or the exception, and ends when the other end of the connection is closed, for whatever reason the
parent ended. Unlike a worker of multiprocessing, it does not import the parent's main program (Prefect's takes
seconds), and if it dies, only its own call fails.
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

_EXIT_TIMEOUT_S = 10.0  # from the end of the connection to the end of the process


@dataclass(frozen=True, slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection

    def died_of(self) -> ProcessDiedError:
        """Waits for the process to end and returns the cause. SIGALRM comes from `time_limit`."""
        try:
            ended_by = -self.process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return ProcessDiedError()
        return ProcessDiedError(killed=ended_by == signal.SIGKILL, timed_out=ended_by == signal.SIGALRM)

    def end(self) -> None:
        """Kills the process; it holds nothing that could be lost."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


_Idle = SimpleQueue[_Worker | None]  # None: it was closed
_open: list[_Idle] = []  # the last one is used; there are several if runs overlap


@contextmanager
def worker_processes(count: int) -> Iterator[None]:
    """Starts worker processes for `in_process` while the context is open.

    They serve the calls of all threads.

    Args:
        count: Number of processes. With 0, `in_process` calls functions in this process.
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
        for _ in range(count):  # waits for running calls
            if (worker := idle.get()) is not None:
                worker.end()
        idle.put(None)


def in_process(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Calls a function in a worker process and returns its result.

    Without worker processes the function is called in this process.

    Args:
        function: A picklable function, that is, one of a module.
        arguments: Positional arguments.
        named: Keyword arguments.

    Raises:
        ProcessDiedError: The worker died during the call. It is replaced for the next call.
        Exception: The exception that the function raised, with the worker's traceback as a note.
    """
    with _idle_worker() as worker:
        if worker is None:
            return function(*arguments, **named)
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
    """Kills this worker process if the context takes too long.

    The caller then gets a `ProcessDiedError`. The system sends the signal, so it also ends a decoder that never returns
    to Python. Outside a worker process there is no limit.

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
def _idle_worker() -> Iterator[_Worker | None]:
    """Waits for an idle worker and yields it, or None if no context is open.

    If the context is closed meanwhile, a worker of another one is taken. After an exception the worker is replaced: a
    late answer would be taken for the next call's.
    """
    worker = None
    while worker is None:
        try:
            idle = _open[-1]
        except IndexError:
            yield None
            return
        worker = idle.get()
        if worker is None:
            idle.put(None)  # for the next thread that waits
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
            # One thread each: the workers already use all cores.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            process_group=0,  # Ctrl-C would reach it too; the parent ends it instead
        )
    return _Worker(process, ours)


def _serve(connection: Connection) -> None:
    """Serves calls until the other end of the connection is closed."""
    while True:
        try:
            function, arguments, named = connection.recv()
        except (EOFError, ConnectionResetError):  # reset: the parent ended before it read the last answer
            return
        answer: tuple[object, Exception | None]
        try:
            answer = (function(*arguments, **named), None)
        except Exception as error:  # noqa: BLE001 - every exception is raised again by the caller
            error.add_note(traceback.format_exc())
            answer = (None, error)
        try:
            connection.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
