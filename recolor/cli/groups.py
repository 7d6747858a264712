"""Groups of verbs: help in sections, suggestions for mistyped verbs, former names."""

import difflib
from collections.abc import Sequence
from typing import Any

import click

from recolor.cli.old_names import current_words


class VerbGroup(click.Group):
    """A group that lists its verbs in the order of use and suggests a verb for a mistyped one."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.sections: dict[str, list[str]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Adds verbs and lists them in the help under a title."""
        for command in commands:
            self.add_command(command)
        self.sections[title] = [str(command.name) for command in commands]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of the verbs in the order in which they were added."""
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the verbs in sections; a group without sections gets a single one."""
        sections = self.sections or {"Commands": self.list_commands(ctx)}
        width_chars = max(len(name) for names in sections.values() for name in names)
        for title, names in sections.items():
            with formatter.section(title):
                limit_chars = formatter.width - width_chars - 6  # click's indent, and its space between the columns
                rows = [
                    (name.ljust(width_chars), self.commands[name].get_short_help_str(limit_chars)) for name in names
                ]
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the name, command and remaining arguments of the verb.

        Raises:
            click.UsageError: The verb does not exist; names the most similar one.
        """
        if ctx.parent is None:
            args = current_words(args, quiet=ctx.resilient_parsing)
        if args[0] not in self.commands and args[0][:1].isalnum() and not ctx.resilient_parsing:
            raise click.UsageError(_no_such_command(args[0], list(self.commands)), ctx)
        return super().resolve_command(ctx, args)


def refuse_options_before_command(context: click.Context) -> None:
    """Checks that a group that is a command itself was given no options, which its command would not see.

    Raises:
        click.UsageError: It was; the message says where options are given.
    """
    if any(context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE for name in context.params):
        command = f"recolor {context.info_name} {context.invoked_subcommand}"
        raise click.UsageError(f"Give the options after the command: `{command} [OPTIONS]`.", context)


def _no_such_command(name: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f'Did you mean "{nearest[0]}"?' if nearest else f"Commands: {', '.join(known)}."
    return f'No such command "{name}". {hint}'
