"""What a verb of the command line is told, what it says of a stage, and how it ends when something is wrong."""

import functools
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from recolor.config.loading import load_config
from recolor.config.presets import PRESETS, Preset
from recolor.config.settings import Config
from recolor.errors import ConfigError, RecolorError
from recolor.pipeline.cache import Outcome
from recolor.pipeline.workspace import Workspace, refuse_url


def _folder(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Stops before any work if it is a URL."""
    del context
    if path is not None:
        refuse_url(path, option.opts[0])
    return path


images_option = click.option(
    "--images", type=click.Path(path_type=Path), callback=_folder, help="Folder of photographs."
)
workspace_option = click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path(),
    callback=_folder,
    help="Where manifests/ and data/ go.  [.]",
)
preset_option = click.option("--preset", type=click.Choice(PRESETS), help="Named settings to start from.  [default]")
file_option = click.option(
    "--config", "file", type=click.Path(path_type=Path), help="TOML settings.  [WORKSPACE/recolor.toml]"
)
set_option = click.option(
    "--set", "words", multiple=True, metavar="KEY=VALUE", help="One setting: blurry.threshold=0.4."
)
suggest_option = click.option(
    "--suggest", is_flag=True, help="Then suggest thresholds from the data's own distribution."
)


@dataclass(frozen=True, slots=True)
class Target:
    """What every stage is told: which photographs, which workspace, which settings."""

    images: Path | None
    workspace: Path
    preset: Preset | None
    file: Path | None
    words: tuple[str, ...]


def stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of `Target` to a verb, and hands it one."""

    @functools.wraps(command)
    def with_target(
        images: Path | None,
        workspace: Path,
        preset: Preset | None,
        file: Path | None,
        words: tuple[str, ...],
        **others: object,
    ) -> None:
        command(Target(images, workspace, preset, file, words), **others)

    for option in (set_option, file_option, preset_option, workspace_option, images_option):
        with_target = option(with_target)
    return with_target


def read_settings(target: Target) -> Config:
    """The settings of a run: of the file given, or else of the workspace's own file."""
    own = Workspace(target.workspace.expanduser()).settings_file
    return load_config(target.preset, target.file or (own if own.is_file() else None), target.words)


def describe(outcome: Outcome) -> str:
    """One line about what a stage did, such as `measure   images 660, ... 660 built`."""
    counts = ", ".join(f"{name} {count:,}" for name, count in outcome.counts.items())
    if outcome.current:
        return f"{outcome.stage:<16} cached   {counts}"
    parts = f"{outcome.built} built, {outcome.reused} reused" if outcome.reused else f"{outcome.built} built"
    return f"{outcome.stage:<16} {outcome.seconds_s:6.1f} s  {counts}  ({parts})"


def run_reporting_errors(command: click.Command) -> None:
    """Runs a command so that an error is one message and an exit code, without a trace.

    After Ctrl-C what is under way is finished; after a second one the program ends at once, as if it were killed.
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
    os._exit(_STOPPED_CODE)  # threads are waited for by any other end; what they leave half-built, the next run sweeps


def _say(text: str) -> None:
    """On the terminal, past Python's buffer: the signal may have come in the middle of a write to that."""
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
