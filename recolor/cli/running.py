"""Runs stages, or a whole command, and reports what was done or what is wrong."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

import click

from recolor.cli.extras import EXTRAS, missing_package
from recolor.cli.options import Target, read_settings
from recolor.errors import ConfigError, RecolorError
from recolor.pipeline.cache import Outcome


def run_stages(names: Sequence[str] | None, target: Target) -> None:
    """Runs the named stages (all by default) under the workspace's lock, and prints what each did."""
    config = read_settings(target)
    from recolor.stages import run_stages as run

    run(target.images, target.workspace, config, names, on_outcome=lambda outcome: click.echo(describe(outcome)))


def describe(outcome: Outcome) -> str:
    """One line about what a stage did, such as `measure   images 660, ... 660 built`."""
    counts = ", ".join(f"{name} {count:,}" for name, count in outcome.counts.items())
    if outcome.current:
        return f"{outcome.stage:<16} cached   {counts}"
    parts = f"{outcome.built} built, {outcome.reused} reused" if outcome.reused else f"{outcome.built} built"
    return f"{outcome.stage:<16} {outcome.seconds_s:6.1f} s  {counts}  ({parts})"


def run_reporting_errors(command: click.Command) -> None:
    """Runs a command so that an error is one message and an exit code, without a trace.

    After Ctrl-C, work under way is finished. A second Ctrl-C ends the program at once, as if it were killed.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not a program in the background
        signal.signal(signal.SIGINT, _stop)
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RecolorError as error:
        click.echo(f"recolor: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        click.echo(f"recolor: {missing_package('this command', package)}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo(_STOPPED, err=True)
        sys.exit(_STOPPED_CODE)


_STOPPED = "recolor: stopped. What was finished is kept; run the same command again to go on."
_STOPPED_CODE = 130


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, _end_at_once)
    _say("recolor: stopping as soon as what is under way is done; Ctrl-C again ends it at once.")
    signal.default_int_handler(number, frame)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    del number, frame
    _say(_STOPPED)
    os._exit(_STOPPED_CODE)  # any other exit waits for threads; the next run removes half-built files


def _say(text: str) -> None:
    """Writes to the terminal past Python's buffer, in whose writing the signal may have come."""
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
