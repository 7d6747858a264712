"""Options that several verbs have: photographs, workspace, settings and model."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click

from recolor.cli.output import json_option
from recolor.config.loading import read_changes
from recolor.config.presets import PRESETS, Preset
from recolor.config.settings import Config, LookName
from recolor.paths import expand_user
from recolor.pipeline.remembered import Given, workspace_config
from recolor.pipeline.workspace import Workspace, local_path


class _Option(click.Option):
    """An option whose `show_default` text appears in the help without parentheses."""

    def get_help_extra(self, ctx: click.Context) -> click.types.OptionHelpExtra:
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra


class UserPath(click.Path):
    """A path of which a leading `~` is the home folder: the shell leaves it in `--model=~/x` and in quotes."""

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path, after the checks of `click.Path`."""
        return super().convert(expand_user(value), param, ctx)


def option(*declarations: str, **attributes: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns `click.option`, except that `show_default="..."` describes the default in words."""
    return click.option(*declarations, cls=_Option, **attributes)


class _Folder(click.Path):
    """The type of a folder; a URL is refused before any work is done."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Returns the folder."""
        del ctx
        text = value if isinstance(value, Path) else os.fspath(value)
        return local_path(text, param.opts[0] if param else "the folder")


look_option = option(
    "--look",
    type=click.Choice(get_args(LookName)),
    default="natural",
    help="Choose paler and safer colours, the model's own, or bolder ones.",
)

images_option = option(
    "--images",
    metavar="DIR",
    type=_Folder(),
    help="Read the photographs in this folder.",
    show_default="the folder of the last run",
)
workspace_option = option(
    "--workspace",
    metavar="DIR",
    type=_Folder(),
    default=Path(),
    help="Write manifests/ and data/ in this folder.",
)
preset_option = option(
    "--preset",
    type=click.Choice(PRESETS),
    help="Start from these named settings.",
    show_default="that of recolor.toml, else default",
)
file_option = option(
    "--config",
    "file",
    metavar="FILE",
    type=UserPath(),
    help="Read settings from this TOML file.",
    show_default="WORKSPACE/recolor.toml",
)
set_option = option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, such as blurry.threshold=0.4. May be repeated.",
)
suggest_option = option(
    "--suggest", is_flag=True, help="Afterwards, suggest thresholds from the distribution of the scores."
)
model_option = option(
    "--model",
    metavar="DIR",
    type=UserPath(),
    help="Use the generator and the refiner in this folder.",
    show_default="the models that come with Recolor",
)


save_option = option(
    "--save", is_flag=True, help="Also write these settings into the workspace's recolor.toml, for all commands."
)


dry_run_option = option("--dry-run", is_flag=True, help="Only show what would be done again, and why.")


@dataclass(frozen=True, slots=True)
class Target:
    """Options of every stage: photographs, workspace and settings."""

    images: Path | None
    workspace: Path
    preset: Preset | None
    file: Path | None
    overrides: tuple[str, ...]
    save: bool = False
    dry_run: bool = False

    @property
    def given(self) -> Given:
        """What the command was given of its settings."""
        changes = read_changes(None, self.overrides)
        return Given(self.preset or changes.pop("preset", None), self.file, changes, command_name())


def command_name() -> str:
    """Returns the command that runs, such as `recolor shards build`."""
    context, names = click.get_current_context(silent=True), list[str]()
    while context is not None and context.parent is not None:
        names.insert(0, str(context.info_name))
        context = context.parent
    return " ".join(["recolor", *names])


def stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of `Target` to a verb and calls the verb with a `Target`."""

    @functools.wraps(command)
    def with_target(
        *,
        images: Path | None,
        workspace: Path,
        preset: Preset | None,
        file: Path | None,
        overrides: tuple[str, ...],
        save: bool = False,
        dry_run: bool = False,
        **others: object,
    ) -> None:
        command(Target(images, workspace, preset, file, overrides, save, dry_run), **others)

    decorated: Callable[..., None] = with_target
    for add_option in (set_option, file_option, preset_option, workspace_option, images_option):
        decorated = add_option(decorated)
    return decorated


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of a verb that runs stages: those of `stage_options`, `--save`, `--dry-run` and `--json`."""
    return stage_options(save_option(dry_run_option(json_option(command))))


def read_settings(target: Target) -> Config:
    """Reads the settings from the given file, or else from the workspace's recolor.toml."""
    return workspace_config(Workspace(target.workspace), target.given)
