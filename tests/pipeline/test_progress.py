import io
import logging
import re
import sys

import pytest
import tqdm

from recolor.pipeline import progress as module
from recolor.pipeline.progress import LOGGER, Progress, duration_text, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """The seconds of the module's clock, to be set."""
    now_s = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    return now_s


def open_terminal(monkeypatch):
    """Replaces standard error by a terminal of 80 columns, and returns it."""
    screen, bar = Terminal(), tqdm.tqdm
    monkeypatch.setattr(sys, "stderr", screen)
    shown = {"delay": 0, "mininterval": 0, "file": screen, "ncols": 80, "dynamic_ncols": False}
    monkeypatch.setattr(tqdm, "tqdm", lambda **how: bar(**how | shown))
    return screen


def test_without_a_terminal_a_line_every_30_seconds_has_rate_and_remaining_time(clock, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    with Progress("measure", 10_000, "images") as progress:
        for second in range(1, 61):
            clock[0] = second
            progress.set_text(f"{second} blurry")
            progress.update(100)
    assert caplog.messages == [
        "measure: 3,000 of 10,000 images (30%), 100 images/s, 70 s left, 30 blurry",
        "measure: 6,000 of 10,000 images (60%), 100 images/s, 40 s left, 60 blurry",
    ]


def test_what_was_done_before_counts_as_done_but_not_for_the_rate(clock, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    with Progress("train", 1000, "images", initial=500) as progress:
        clock[0] = 40
        progress.update(100)
    assert caplog.messages == ["train: 600 of 1,000 images (60%), 2.5 images/s, 3 min left"]


def test_of_unknown_length_done_and_rate_are_told(clock, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    for number in track(range(3), "colorize", None, "frames"):
        clock[0] = 31.0 * (number + 1)
    assert caplog.messages[-1] == "colorize: 3 frames, 0.0323 frames/s"


def test_before_the_first_unit_no_remaining_time_is_told(clock, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    with Progress("measure", 9, "images") as progress:
        clock[0] = 30
        progress.update(0)
    assert caplog.messages == ["measure: 0 of 9 images (0%), 0 images/s"]


def test_short_work_writes_nothing(clock, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    assert list(track("abc", "x", 3, "images")) == list("abc")
    assert caplog.messages == []


def test_in_a_terminal_the_bar_keeps_its_width_and_the_line_fits(monkeypatch, caplog):
    terminal = open_terminal(monkeypatch)
    caplog.set_level(logging.INFO, LOGGER)
    seconds_s = [0.0]  # by the clock of the machine, two updates may be microseconds apart, and the rate a dozen digits
    monkeypatch.setattr("tqdm.std.time", lambda: seconds_s[0])
    with Progress("measure", 20_000, "images") as progress:
        for text in ("1 blurry", "12,345 monochrome, 6,789 corrupt, 999 blurry, 12 low_resolution"):
            seconds_s[0] += 8.0
            progress.set_text(text)
            progress.update(10_000)
    lines = [line for line in re.split(r"[\r\n]", terminal.getvalue()) if "20000" in line]
    assert {len(re.search(r"\|(.*)\|", line)[1]) for line in lines} == {16}
    assert max(map(len, lines)) <= 80
    assert re.search(r"measure +50%\|.{16}\| 10000/20000, 1250.00 images/s, 00:08 left, 1", "".join(lines))
    assert caplog.messages == []


@pytest.mark.parametrize("in_terminal", [True, False])
def test_with_quiet_nothing_is_shown(in_terminal, monkeypatch, clock, caplog):
    screen = open_terminal(monkeypatch) if in_terminal else io.StringIO()
    caplog.set_level(logging.ERROR, LOGGER)
    with Progress("measure", 2, "images") as progress:
        clock[0] = 60
        progress.update()
        assert not progress.shown
    assert caplog.messages == []
    assert screen.getvalue() == ""


def test_a_process_that_is_not_the_main_one_shows_nothing(clock, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    with Progress("train", 2, "images", shown=False) as progress:
        clock[0] = 60
        progress.update()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("seconds_s", "text"),
    [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (3500, "58 min"), (3599, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_are_in_the_units_that_matter(seconds_s, text):
    assert duration_text(seconds_s) == text


def test_progress_is_logged_with_the_time_of_day_and_the_rest_with_its_level():
    formatter = module._Formatter("%(levelname)s %(name)s: %(message)s")

    def formatted(name, level):
        return formatter.format(logging.LogRecord(name, level, "", 0, "half", (), None))

    assert re.fullmatch(r"\d\d:\d\d:\d\d half", formatted(LOGGER, logging.INFO))
    assert formatted("recolor.stages", logging.WARNING) == "WARNING recolor.stages: half"
