"""Progress of long work: a bar in a terminal, elsewhere a line in the log every 30 seconds.

Lines have the level `INFO`. Nothing is shown if the logger of this module is at a level above `WARNING`, as with
`recolor -q`.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NoReturn, TypeVar

_log = logging.getLogger(__name__)

LOGGER = __name__
LINE_EVERY_S = 30.0
# The bar has a fixed width, so that it does not shrink as the text after it grows; what does not fit is cut.
_BAR = "{desc} {percentage:3.0f}%|{bar:16}| {n_fmt}/{total_fmt}, {rate_noinv_fmt}, {remaining} left{postfix}"

T = TypeVar("T")


class Progress:
    """Context manager that shows how much of some work is done, its rate and the remaining time.

    Args:
        label: What is done, such as `measure`.
        total: Number of units in all; None if it is not known.
        unit: Name of the units, such as `images`.
        initial: Number of units that were done before.
        shown: Whether to show anything, as only one of several processes should.
    """

    def __init__(self, label: str, total: int | None, unit: str, *, initial: int = 0, shown: bool = True) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - a tenth of the time of a command that ends at once

        self._label, self._total, self._unit = label, total, unit
        self._initial, self._done, self._text = initial, initial, ""
        self._started_at_s = self._line_at_s = time.monotonic()
        level, terminal = _log.getEffectiveLevel(), sys.stderr is not None and sys.stderr.isatty()
        self._logs = shown and not terminal and level <= logging.INFO
        self._bar: tqdm[NoReturn] = tqdm(
            total=total or None,
            initial=initial,
            desc=label,
            unit=f" {unit}",
            bar_format=_BAR if total else None,
            disable=not (shown and terminal and level <= logging.WARNING),
            dynamic_ncols=True,
            delay=1,
        )

    @property
    def shown(self) -> bool:
        """Whether anything is shown, so that a text is worth computing."""
        return self._logs or not self._bar.disable

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the bar."""
        self._bar.close()

    def update(self, units: int = 1) -> None:
        """Counts units that are done."""
        self._done += units
        self._bar.update(units)
        now_s = time.monotonic()
        if self._logs and now_s - self._line_at_s >= LINE_EVERY_S:
            self._line_at_s = now_s
            _log.info("%s", self._line(now_s - self._started_at_s))

    def set_text(self, text: str) -> None:
        """Sets the text after the numbers, such as `loss 0.42`."""
        self._text = text
        self._bar.set_postfix_str(text, refresh=False)

    def _line(self, seconds_s: float) -> str:
        rate = (self._done - self._initial) / seconds_s
        parts = [f"{rate:,.3g} {self._unit}/s" if rate < 100 else f"{rate:,.0f} {self._unit}/s"]
        done = f"{self._done:,}"
        if self._total:
            done += f" of {self._total:,} {self._unit} ({self._done / self._total:.0%})"
            parts += [f"{duration_text((self._total - self._done) / rate)} left"] if rate else []
        else:
            done += f" {self._unit}"
        return f"{self._label}: " + ", ".join([done, *parts, *([self._text] if self._text else [])])


def track(items: Iterable[T], label: str, total: int | None, unit: str) -> Iterator[T]:
    """Yields the items and shows how many are done."""
    with Progress(label, total, unit) as progress:
        for item in items:
            yield item
            progress.update()


def duration_text(seconds_s: float) -> str:
    """Returns a duration in the units that matter: `42 s`, `8 min` or `2 h 5 min`."""
    if seconds_s < 99.5:
        return f"{seconds_s:.0f} s"
    hours, minutes = divmod(round(seconds_s / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class _Formatter(logging.Formatter):
    """Formats progress as a sentence with the time of day, and all else with its level and logger."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == LOGGER:
            return f"{self.formatTime(record, '%H:%M:%S')} {record.getMessage()}"
        return super().format(record)


def log_to_stderr(level: int) -> None:
    """Sends a program's log to standard error.

    Args:
        level: Lowest level of the messages. Progress is shown unless it is above `WARNING`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger().setLevel(level)
    _log.setLevel(logging.INFO if level <= logging.WARNING else level)
