import json
from pathlib import Path

import pytest

from recolor.errors import ConfigError, TrainingError
from recolor.pipeline.torchrun import ENDED_FILE
from recolor.training import last_words as module
from recolor.training.last_words import failure, last_words

GOOD = Path("/models/step-00000004.pt")


@pytest.fixture
def speak(tmp_path, monkeypatch):
    """Has a process of that rank end with an error, at that time."""
    ends = []
    monkeypatch.setattr(module.os, "_exit", ends.append)

    def as_rank(rank, error, time_s):
        monkeypatch.setattr(module.time, "time", lambda: time_s)
        with last_words(tmp_path, rank):
            raise error
        assert ends.pop() == 1

    return as_rank


def test_an_expected_error_is_raised_as_it_was_whatever_others_met_before(tmp_path, speak):
    speak(0, RuntimeError("Connection closed by peer"), 1.0)
    speak(1, ConfigError("crop_px = 96: too large."), 2.0)
    error = failure("generator", tmp_path, GOOD)
    assert (type(error), str(error)) == (ConfigError, "crop_px = 96: too large.")


def test_an_unexpected_error_is_told_with_its_process_its_trace_and_the_last_good_checkpoint(tmp_path, speak):
    speak(0, RuntimeError("Connection closed by peer"), 2.0)
    speak(1, MemoryError("out of memory"), 1.0)
    error = failure("generator", tmp_path, GOOD)
    assert type(error) is TrainingError
    assert str(error).startswith("generator: process 1 raised MemoryError: out of memory. All processes were ended.")
    assert f"Last good checkpoint: {GOOD}." in str(error)
    assert "test_last_words.py" in error.__notes__[0]


@pytest.mark.parametrize(("code", "how"), [(-9, "was killed (SIGKILL)"), (-11, "by SIGSEGV"), (3, "exit code 3")])
def test_a_process_that_ended_without_a_word_counts_before_what_that_did_to_others(tmp_path, speak, code, how):
    speak(0, RuntimeError("Connection closed by peer"), 1.0)
    (tmp_path / ENDED_FILE).write_text(json.dumps({"0": 1, "1": code}))
    error = failure("refiner", tmp_path, None)
    assert str(error).startswith("refiner: process 1 ")
    assert how in str(error)
    assert "Last good checkpoint: none yet." in str(error)


def test_a_process_that_torchrun_ended_for_anothers_sake_is_not_blamed(tmp_path):
    (tmp_path / ENDED_FILE).write_text(json.dumps({"0": -15, "1": 3}))
    assert str(failure("refiner", tmp_path, None)).startswith("refiner: process 1 ended with exit code 3. All")
    (tmp_path / ENDED_FILE).write_text(json.dumps({"0": -15}))
    assert str(failure("refiner", tmp_path, None)).startswith("refiner: process 0 was ended by SIGTERM. All")


def test_without_any_word_torchrun_itself_has_ended(tmp_path):
    assert "torchrun ended without saying why" in str(failure("refiner", tmp_path, None))


def test_nothing_is_left_where_nothing_went_wrong(tmp_path):
    with last_words(tmp_path, 0):
        pass
    assert list(tmp_path.iterdir()) == []
