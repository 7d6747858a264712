"""Runs stages or a whole command, and reports outcomes and errors."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import FrameType

import click

from recolor.cli.extras import EXTRAS, missing_package
from recolor.cli.last_settings import save, say_reverted
from recolor.cli.options import Target, read_settings
from recolor.cli.output import outcomes_printed, print_next_stage
from recolor.errors import ConfigError, RecolorError
from recolor.pipeline.remembered import remember_settings


def run_stages(
    names: Sequence[str] | None, target: Target, then: Callable[[], None] | None = None, run_name: str = ""
) -> None:
    """Runs the named stages, or all if `names` is None, and prints each outcome and what to do next.

    The workspace is locked meanwhile. A training is kept under `run_name`.

    Args:
        names: Names of the stages.
        target: Photographs, workspace and settings.
        then: Called after the stages, before the advice.
        run_name: Name of the training's run; empty for none.
    """
    if target.dry_run:
        _print_dry_run(target, names)
        return
    with outcomes_printed() as show:
        config = read_settings(target)
        from recolor.stages import run_stages as run
        from recolor.stages import settings_groups, workspace_for

        say_reverted(target, settings_groups(names))
        if target.save:
            workspace_for(names or ["index"], target.workspace)  # raises an error if there is none and must be one
            save(target)
        outcomes = run(
            target.images, target.workspace, config, names, on_outcome=show, given=target.given, run_name=run_name
        )
    if then is not None:
        then()
    print_next_stage(outcomes[-1].stage, settings_arguments(target))


def run_detectors(issues: Sequence[str], target: Target, then: Callable[[], None] | None = None) -> None:
    """Runs the detectors of some issues, otherwise as `run_stages`."""
    if target.dry_run:
        _print_dry_run(target, ["detect"], issues)
        return
    with outcomes_printed() as show:
        config = read_settings(target)
        from recolor.cleaning.detect import check_issues
        from recolor.pipeline.workspace import existing_workspace, locked
        from recolor.stages import detect_issues

        check_issues(issues)
        workspace = existing_workspace(target.workspace)
        say_reverted(target, issues)
        if target.save:
            save(target)
        with locked(workspace):
            remember_settings(workspace, config, issues, target.given)
            show(detect_issues(workspace, issues, config, target.images))
    if then is not None:
        then()
    print_next_stage("detect", settings_arguments(target))


def _print_dry_run(target: Target, names: Sequence[str] | None, issues: Sequence[str] | None = None) -> None:
    read_settings(target)  # a mistake in them is told before anything is imported
    from recolor.cleaning.detect import check_issues
    from recolor.cli.status import print_dry_run
    from recolor.stages import settings_groups

    check_issues(issues or ())
    say_reverted(target, settings_groups(names) if issues is None else issues)
    print_dry_run(target, names, issues)


def settings_arguments(target: Target) -> list[str]:
    """Returns the options of the command line that name a target's workspace and settings."""
    workspace = [] if target.workspace == Path() else ["--workspace", str(target.workspace)]
    given = [[name, str(value)] for name, value in (("--preset", target.preset), ("--config", target.file)) if value]
    return [*workspace, *chain(*given), *chain(*(["--set", override] for override in target.overrides))]


def run_reporting_errors(command: click.Command) -> None:
    """Runs a command and reports an error as one message and an exit code, without a traceback.

    After Ctrl-C, work in progress is finished. A second Ctrl-C ends the program at once, as if it were killed.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # background programs ignore SIGINT
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


_STOPPED = "recolor: stopped. Finished work is kept; run the same command again to continue."
_STOPPED_CODE = 130


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, _end_at_once)
    _say("recolor: stopping after the work in progress; press Ctrl-C again to stop at once.")
    signal.default_int_handler(number, frame)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    del number, frame
    _say(_STOPPED)
    os._exit(_STOPPED_CODE)  # other exits wait for threads; the next run removes unfinished files


def _say(text: str) -> None:
    """Writes to the terminal without Python's buffer, which the signal may have interrupted."""
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
