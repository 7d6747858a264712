import importlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError, ProcessDiedError
from recolor.images import decode
from recolor.pipeline import workers
from recolor.pipeline.workers import in_process, worker_processes

PARENT = """
import os, time
from recolor.pipeline.workers import in_process, time_limit, worker_processes
with worker_processes(2):
    print(*{in_process(os.getpid) for _ in range(50)}, flush=True)
    time.sleep(600)
"""
LIMITED = """
import time
from recolor.pipeline.workers import time_limit
def sleep(limit_s, seconds_s):
    with time_limit(limit_s):
        time.sleep(seconds_s)
    return seconds_s
"""
UNGUARDED = """
import os
from recolor.pipeline.workers import in_process, time_limit, worker_processes
print("begun")
with worker_processes(2):
    print("called in", "this" if in_process(os.getpid) == os.getpid() else "another")
"""


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_call_is_done_in_another_process_while_some_are_open():
    assert in_process(os.getpid) == os.getpid()
    with worker_processes(2):
        worker = in_process(os.getpid)
        assert worker != os.getpid()
        assert in_process(int, "17", base=8) == 15
    assert in_process(os.getpid) == os.getpid()
    assert not running(worker)


def test_no_processes_are_opened_for_a_count_of_none():
    with worker_processes(0):
        assert in_process(os.getpid) == os.getpid()


def test_what_a_function_raises_comes_back_with_its_trace():
    with worker_processes(1), pytest.raises(ValueError, match="invalid literal") as caught:
        in_process(int, "seventeen")
    assert "_serve" in caught.value.__notes__[-1]


def test_errors_of_recolor_come_back_as_they_were():
    with worker_processes(1), pytest.raises(ImageError) as caught:
        in_process(decode, b"no image", MeasureConfig())
    assert (caught.value.reason, caught.value.detail) == ("not_an_image", str(caught.value).split(": ", 1)[1])


def test_a_call_that_is_broken_off_leaves_no_answer_for_the_next():
    def break_off(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, break_off)
    try:
        with worker_processes(1):
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(KeyboardInterrupt):
                in_process(time.sleep, 2)
            assert in_process(int, "17") == 17
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_after_a_process_has_died_others_do_the_calls():
    with worker_processes(2):
        for _ in range(2):
            with pytest.raises(ProcessDiedError):
                in_process(os._exit, 1)
            assert in_process(int, "17") == 17


@pytest.fixture
def limited_sleep(tmp_path, monkeypatch):
    """Sleeps under a limit, in a module that worker processes find too."""
    (tmp_path / "limited.py").write_text(LIMITED)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("limited").sleep
    del sys.modules["limited"]


def test_a_call_that_takes_longer_than_its_limit_has_an_error_that_says_so(limited_sleep):
    with worker_processes(1):
        with pytest.raises(ProcessDiedError, match="took too long") as caught:
            in_process(limited_sleep, 0.2, 600)
        assert (caught.value.timed_out, caught.value.killed) == (True, False)
        assert in_process(limited_sleep, 0.2, 0) == 0
        assert in_process(time.sleep, 0.4) is None  # the limit of the call before is over


def test_there_is_no_limit_where_the_caller_itself_would_be_ended(limited_sleep):
    assert limited_sleep(0.01, 0.1) == 0.1


def test_a_process_that_dies_takes_no_other_call_along():
    def call(number):
        try:
            return in_process(os._exit, 1) if number == 3 else in_process(abs, -number)
        except ProcessDiedError:
            return "died"

    with worker_processes(2), ThreadPoolExecutor(8) as threads:
        assert list(threads.map(call, range(8))) == [0, 1, 2, "died", 4, 5, 6, 7]


def test_a_file_whose_decoder_aborts_is_a_dead_process():
    with worker_processes(1), pytest.raises(ProcessDiedError):
        in_process(os.abort)


def test_overlapping_runs_have_processes_of_their_own():
    first, second = worker_processes(1), worker_processes(1)
    with first:
        one = in_process(os.getpid)
        with second:
            assert in_process(os.getpid) != one
        assert in_process(os.getpid) == one


def test_a_call_that_waits_for_a_run_that_ends_is_done_by_the_other_run():
    with worker_processes(1), ThreadPoolExecutor(2) as threads:
        with worker_processes(1):
            threads.submit(in_process, time.sleep, 1)
            time.sleep(0.2)
            waiting = [threads.submit(in_process, int, "17") for _ in range(2)]
        assert [call.result(30) for call in waiting] == [17, 17]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as parent:
        workers = parent.stdout.readline().split()
        assert workers
        assert all(map(running, workers))
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(running, workers))


def test_a_worker_whose_last_answer_is_not_read_ends_without_a_traceback(capfd):
    worker = workers._start()
    worker.connection.send((os.getpid, (), {}))
    assert worker.connection.poll(30)
    worker.connection.close()  # with the answer in it: the other end is reset, not closed
    assert (worker.process.wait(30), capfd.readouterr().err) == (0, "")


def test_the_main_program_is_not_run_again_by_the_workers(tmp_path):
    program = tmp_path / "unguarded.py"
    program.write_text(UNGUARDED)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["begun", "called in another"]
    assert done.stderr == ""


def test_ctrl_c_does_not_reach_the_workers():
    with worker_processes(1):
        worker = in_process(os.getpid)
        assert os.getpgid(worker) != os.getpgid(0)
