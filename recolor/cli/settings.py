"""The verb `settings`: lists the settings and writes a commented recolor.toml."""

import textwrap
from pathlib import Path

import click

from recolor.cli.options import option, workspace_option
from recolor.cli.output import width_chars
from recolor.config.presets import PRESETS, Preset
from recolor.config.reference import Group, Setting, find_settings, settings_reference, toml_value
from recolor.errors import ConfigError
from recolor.pipeline.storage import write_output
from recolor.pipeline.workspace import Workspace


@click.command()
@click.argument("name", required=False)
@option("--init", is_flag=True, help="Write a recolor.toml in which every setting is commented out.")
@workspace_option
@option(
    "--preset",
    type=click.Choice(PRESETS),
    default="default",
    help="Show or write the defaults of this preset.",
)
def settings(name: str | None, init: bool, workspace: Path, preset: Preset) -> None:
    """List settings, or write a commented recolor.toml.

    NAME is a group, such as `blurry`, or one setting, such as `blurry.threshold`. Without it, all settings are listed.

    Change a setting with `--set blurry.threshold=0.4`, which `--save` keeps, or in the workspace's recolor.toml.
    """
    if init and name is not None:
        raise click.UsageError("--init writes all settings. Give it without NAME.")
    if init:
        click.echo(_write_toml(workspace, preset))
        return
    groups = settings_reference(preset)
    found = groups if name is None else find_settings(name, groups)
    if name is not None and [setting.name for group in found for setting in group.settings] == [name]:
        click.echo(_full_text(found[0].settings[0]))
    else:
        click.echo("\n\n".join(_list_text(group) for group in found))


def _list_text(group: Group) -> str:
    """Returns name, default, allowed values and summary of each setting of a group."""
    lines = [_wrapped(f"[{group.name}] {' '.join(group.meaning.split())}", 0)]
    for setting in group.settings:
        lines.append(
            _wrapped(f"  {setting.name} = {toml_value(setting.default)}  ({setting.allowed})", 0, hanging="      ")
        )
        lines.append(textwrap.indent(_wrapped(setting.summary, 6), "      "))
    return "\n".join(lines)


def _full_text(setting: Setting) -> str:
    """Returns the full description of one setting."""
    return "\n".join(
        [
            setting.name,
            f"  default: {toml_value(setting.default)}",
            _wrapped(f"  allowed: {setting.allowed}", 0, hanging=" " * 11),
            "",
            textwrap.indent(_wrapped(setting.meaning, 2), "  "),
            "",
            textwrap.indent(_wrapped(f"When it changes: {setting.redone_text}", 2), "  "),
        ]
    )


def _wrapped(text: str, indent_chars: int, hanging: str = "") -> str:
    width = min(width_chars(), 100) - indent_chars
    return textwrap.fill(text, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def _write_toml(workspace: Path, preset: Preset) -> Path:
    """Writes the workspace's recolor.toml and returns its path.

    Raises:
        ConfigError: The file exists.
        StorageError: The file cannot be written.
    """
    from recolor.config.template import commented_toml

    file = Workspace(workspace).settings_file
    if file.exists():
        raise ConfigError(f"{file}: the file exists and is not overwritten. Rename it, or give another --workspace.")
    write_output(file, commented_toml(preset).encode())
    return file
