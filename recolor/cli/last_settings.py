"""What a command says about its settings: which the last run had and it has not, and which it saves."""

import shlex
import sys
from collections.abc import Collection

import click

from recolor.cli.options import Target
from recolor.config.loading import setting_word
from recolor.config.reference import toml_value
from recolor.pipeline.remembered import restoring, reverted_lines, reverted_settings, save_settings
from recolor.pipeline.workspace import Workspace


def say_reverted(target: Target, groups: Collection[str], command: str = "") -> None:
    """Says on standard error which settings the last run was given and this one does not have, and how to have them.

    Args:
        target: Options of the command.
        groups: Names of the groups of settings that it uses.
        command: Another command, which is to be run next; by default the one that was typed and runs.
    """
    workspace, given = Workspace(target.workspace), target.given
    reverted = reverted_settings(workspace, groups, given)
    if not reverted:
        return
    again = restoring(workspace, given, reverted)
    first, *lines = reverted_lines(reverted, again)
    words = [
        *(["--preset", again.preset] if again.preset else []),
        *(["--config", str(again.file)] if again.file else []),
    ]
    for name, value in again.settings.items():
        words += ["--set", setting_word(name, value)]
    shown = command or shlex.join(["recolor", *sys.argv[1:]])
    runs = not (command or target.dry_run)
    click.echo(f"recolor: {first}", err=True)
    for line in lines:
        click.echo(line, err=True)
    if command or any(parameter.name == "save" for parameter in click.get_current_context().command.params):
        words.append("--save")
    click.echo(f"Those of then: {shlex.join([*shlex.split(shown), *words])}", err=True)
    click.echo(f"Those of now:  {shown}{'  (goes on with them)' if runs else ''}", err=True)


def save(target: Target) -> None:
    """Writes the settings into the workspace's recolor.toml, and says on standard error which were changed there."""
    workspace = Workspace(target.workspace.absolute())
    saved = save_settings(workspace, target.given)
    settings = ", ".join(f"{name} = {toml_value(value)}" for name, value in saved.items())
    said = f"saved in {workspace.settings_file}: {settings}" if saved else f"{workspace.settings_file}: nothing to save"
    click.echo(f"recolor: {said}", err=True)
