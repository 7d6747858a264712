import errno
import logging

import pytest
from prefect.client.schemas.objects import State, StateType

from flows.artifacts import final_state
from flows.parameters import log_progress
from flows.parts import is_transient
from recolor.errors import ImageError, InputError, StorageError
from recolor.pipeline.cache import Outcome
from recolor.pipeline.progress import LOGGER


@pytest.mark.parametrize(("chosen", "level"), [(logging.NOTSET, logging.INFO), (logging.ERROR, logging.ERROR)])
def test_runs_log_their_progress_unless_quiet_was_given(chosen, level):
    logger = logging.getLogger(LOGGER)
    logger.setLevel(chosen)
    log_progress()
    assert logger.level == level


class Failed:
    """Stands for the state that Prefect hands to a retry condition."""

    def __init__(self, error):
        self.error = error

    def result(self, raise_on_failure):
        assert not raise_on_failure
        return self.error


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (OSError(errno.EIO, "io"), True),
        (OSError(errno.ESTALE, "stale"), True),
        (caused(StorageError("x"), OSError(errno.EIO, "io")), True),
        (caused(StorageError("x"), OSError(errno.ENOSPC, "full")), False),
        (InputError("x"), False),
        (ImageError("truncated", "x"), False),
        (ZeroDivisionError(), False),
    ],
)
def test_only_errors_that_may_pass_are_tried_again(error, retry):
    assert is_transient(None, None, Failed(error)) is retry


def test_a_stage_that_had_nothing_to_do_ends_as_cached():
    state = final_state(Outcome("measure", 0, 5, {}, 0.0))
    assert isinstance(state, State)
    assert (state.type, state.name) == (StateType.COMPLETED, "Cached")
    assert "all 5 parts reused" in state.message
    assert isinstance(final_state(Outcome("measure", 1, 5, {}, 0.0)), Outcome)
