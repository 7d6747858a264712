import logging
import os
import signal
import threading
import time
from contextlib import nullcontext

import pytest

from recolor.config.settings import ExecutionConfig
from recolor.errors import ImageError, InputError, ProcessDiedError, StorageError
from recolor.pipeline import parallel, progress
from recolor.pipeline.parallel import decoding, run_parallel, worker_count
from recolor.pipeline.workers import in_process


def images(part):
    return part


def test_results_come_in_the_order_of_the_parts():
    gate = threading.Event()

    def work(part):
        if part == 0:
            assert gate.wait(10)
        gate.set()
        return part * 2

    assert run_parallel(work, range(50), ExecutionConfig(workers=4), "test", images) == [2 * k for k in range(50)]


def test_a_failing_part_does_not_stop_the_others_and_is_named():
    done = []

    def work(part):
        if part in {2, 5}:
            raise InputError(f"part {part}: broken")
        done.append(part)

    with pytest.raises(InputError, match=r"2 of 8 parts failed; finished parts are kept.\n  part 2: broken\n  part 5"):
        run_parallel(work, range(8), ExecutionConfig(workers=2), "test", images)
    assert sorted(done) == [0, 1, 3, 4, 6, 7]


def test_an_unexpected_error_is_raised_as_it_is():
    def work(part):
        raise ZeroDivisionError(part) if part else StorageError("full")

    with pytest.raises(ZeroDivisionError):
        run_parallel(work, range(3), ExecutionConfig(workers=2), "test", images)


def test_workers_are_as_many_as_the_cores_unless_told():
    assert worker_count(ExecutionConfig(workers=3)) == 3
    assert worker_count(ExecutionConfig()) >= 1


@pytest.fixture
def ctrl_c_counts():
    """Python's own handler: a shell starts background programs with SIGINT ignored, tests among them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_counts")
def test_ctrl_c_begins_no_further_part():
    done = []

    def work(part):
        done.append(part)
        if part == 1:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.02)

    with pytest.raises(KeyboardInterrupt):
        run_parallel(work, range(200), ExecutionConfig(workers=1), "test", images)
    assert len(done) < 100


def test_a_full_disk_begins_no_further_part():
    done = []

    def work(part):
        done.append(part)
        time.sleep(0.02)
        raise StorageError("full")

    with pytest.raises(StorageError, match="full"):
        run_parallel(work, range(200), ExecutionConfig(workers=2), "test", images)
    assert len(done) < 100


def test_the_progress_says_what_it_is_told_after_each_part(monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    caplog.set_level(logging.INFO)

    def work(part):
        if part == 3:
            raise InputError("part 3: broken")

    seen = []

    def text(part):
        seen.append(part)
        return f"{sum(seen)} outliers"

    with pytest.raises(InputError):
        run_parallel(work, range(6), ExecutionConfig(workers=2), "test", images, progress_text=text)
    assert sorted(seen) == [0, 1, 2, 4, 5]
    assert "12 outliers" in caplog.messages[-1]
    assert "images/s" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("error", "attribute"),
    [(ImageError("truncated", "12 of 40 rows"), "reason"), (ProcessDiedError(killed=True), "killed")],
)
def test_failures_of_any_class_are_raised_together(error, attribute):
    def work(part):
        if part == 2:
            raise error

    with pytest.raises(type(error), match="test: 1 of 4 parts failed") as raised:
        run_parallel(work, range(4), ExecutionConfig(workers=1), "test", images)
    assert str(error) in str(raised.value)
    assert getattr(raised.value, attribute) == getattr(error, attribute)


def test_nothing_is_told_where_no_progress_is_seen():
    config = ExecutionConfig(workers=2)
    assert run_parallel(int, range(3), config, "test", images, progress_text=lambda part: 1 / 0) == [0, 1, 2]


@pytest.mark.parametrize(
    ("runner", "images", "apart"),
    [
        ("auto", 1, False),
        ("auto", 10**6, True),
        ("threads", 10**6, False),
        ("processes", 1, True),
        ("dask", 10**6, False),
    ],
)
def test_the_runner_decides_who_decodes(runner, images, apart):
    execution = ExecutionConfig(workers=2, runner=runner, dask_address="tcp://127.0.0.1:1")
    with decoding(images, execution, worth_from=2000) as said:
        assert said is apart
        assert (in_process(os.getpid) != os.getpid()) is apart


@pytest.mark.parametrize(("images", "calls", "processes"), [(1, None, 1), (30, None, 2), (30, 1, 1), (0, 0, 0)])
def test_no_more_processes_are_started_than_there_are_calls_for(monkeypatch, images, calls, processes):
    counts = []
    monkeypatch.setattr(parallel, "worker_processes", lambda count: nullcontext(counts.append(count)))
    with decoding(images, ExecutionConfig(workers=2, runner="processes"), worth_from=2000, calls=calls):
        assert counts == [processes]
