"""Generates the command line reference docs/cli.md from the verbs and options."""

from collections.abc import Iterator, Sequence
from inspect import cleandoc

import click

from recolor.cli.groups import VerbGroup

_HEAD = """\
# Command line

<!-- Written by tools/write_reference.py from the help texts in recolor/cli/. -->

`recolor COMMAND --help` shows what is on this page for one command.

Every stage is cached and resumable: run the same command again and only what is missing is done. A mistyped command or
option is answered with the nearest one. Exit codes: 0 success, 1 failure, 2 wrong usage or a wrong setting,
130 interrupted.

## Output

Results and the outcomes of stages go to standard output, and everything else to standard error: progress, warnings and
errors. In a terminal, progress is a bar. Elsewhere (a file, a CI job, the log of a Prefect run) it is a line every 30
seconds, with the rate and the remaining time. Lines are at most as long as the terminal is wide, or 80 characters. The
output has no colours, so `NO_COLOR` changes nothing.

Every command takes these options, before or after its name:

| option | meaning |
|---|---|
| `-v, --verbose` | Also log what is done in detail. |
| `-q, --quiet` | Show results and errors only: no progress, outcomes or advice. |

Commands that run stages (`run`, `clean`, `index`, `measure`, `detect`, `select`, `shards build`, `shards repair`,
`train`, `evaluate`) also take `--json`. Standard output is then one JSON object, after an error too:

```json
{
 "outcomes": [
  {
   "stage": "index", "built": 1, "reused": 0, "counts": {"images": 526, "other_files": 0}, "seconds_s": 0.6, "note": ""
  }
 ],
 "error": null
}
```

`built` and `reused` count the parts of a stage; nothing had to be done if `built` is 0. `counts` depends on the stage;
that of `detect` has a number for each issue. `error` is null or has a `type`, such as `InputError`, and a `message`.

## Shell completion

Add one line to your shell's startup file:

| shell | file | line |
|---|---|---|
| Bash 4.4 or newer | `~/.bashrc` | `eval "$(_RECOLOR_COMPLETE=bash_source recolor)"` |
| Zsh | `~/.zshrc` | `eval "$(_RECOLOR_COMPLETE=zsh_source recolor)"` |
| Fish | `~/.config/fish/completions/recolor.fish` | `_RECOLOR_COMPLETE=fish_source recolor \\| source` |
"""

_RUN_OPTIONS = {"images", "workspace", "preset", "file", "overrides"}
_OUTPUT_OPTIONS = {"verbose", "quiet", "json"}  # described at the top


def walk(command: click.Command, context: click.Context | None = None) -> Iterator[click.Context]:
    """Yields the context of a command, then those of its subcommands, except hidden ones."""
    settings = command.context_settings if context is None else {}
    name = "recolor" if context is None else command.name
    own = click.Context(command, context, info_name=name, **settings)
    yield own
    if isinstance(command, click.Group):
        for each in command.commands.values():
            if not each.hidden:
                yield from walk(each, own)


def cli_reference_markdown(cli: VerbGroup) -> str:
    """Returns the reference of all commands as Markdown: usage, description and options."""
    contexts = list(walk(cli))
    run = next(context for context in contexts if context.command_path == "recolor run")
    shared = [
        option for option in run.command.params if isinstance(option, click.Option) and option.name in _RUN_OPTIONS
    ]
    lines = [_HEAD, "## Options of a run\n", "Commands that run a stage take these options.\n"]
    lines.append(_options_markdown(run, shared))
    for title, names in cli.sections.items():
        lines.append(f"## {title}\n")
        lines += [_command_markdown(context) for context in contexts if _verb(context) in names]
    return "\n".join(lines)


def _verb(context: click.Context) -> str:
    """Returns the first word after `recolor`; empty for `recolor` itself."""
    return (context.command_path.split()[1:] or [""])[0]


def _command_markdown(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"### {context.command_path}\n", f"{cleandoc(command.help or '')}\n", f"```\n{usage}\n```\n"]
    if isinstance(command, click.Group):
        rows = [
            f"| `{context.command_path} {each.name}` | {each.get_short_help_str(200)} |" for each in _shown(command)
        ]
        parts.append("\n".join(["| command | what it does |", "|---|---|", *rows, ""]))
    options = [
        option for option in command.params if isinstance(option, click.Option) and option.name not in _OUTPUT_OPTIONS
    ]
    if {option.name for option in options} >= _RUN_OPTIONS:
        options = [option for option in options if option.name not in _RUN_OPTIONS]
        parts.append("Also takes the [options of a run](#options-of-a-run).\n")
    if options:
        parts.append(_options_markdown(context, options))
    return "\n".join(parts)


def _options_markdown(context: click.Context, options: Sequence[click.Option]) -> str:
    rows = [_option_row(context, option) for option in options]
    return "\n".join(["| option | meaning | default |", "|---|---|---|", *rows, ""])


def _shown(group: click.Group) -> list[click.Command]:
    return [command for command in group.commands.values() if not command.hidden]


def _option_row(context: click.Context, option: click.Option) -> str:
    extra = option.get_help_extra(context)
    declared = (option.get_help_record(context) or ("", ""))[0]
    default = extra.get("default") or extra.get("required", "")
    in_words = isinstance(option.show_default, str) or "required" in extra
    allowed = f" Allowed: {extra['range']}." if "range" in extra else ""
    meaning = _escaped((option.help or "") + allowed)
    return f"| {_code(declared)} | {meaning} | {_escaped(default) if in_words else _code(default)} |"


def _code(text: str) -> str:
    return f"`{_escaped(text)}`" if text else ""


def _escaped(text: str) -> str:
    """Returns text escaped for a cell of a Markdown table."""
    return text.replace("|", "\\|")
