"""What the program writes: how much, the outcomes of stages as text or JSON, and the command to run next.

Results and outcomes go to standard output; progress, warnings and errors to standard error. No colours are used.
"""

import json
import logging
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import click

from recolor.config.settings import SPLITS
from recolor.pipeline.cache import Outcome
from recolor.pipeline.progress import log_to_stderr

_LEVEL, _JSON = "recolor.level", "recolor.json"  # in `Context.meta`, which a command shares with its groups
_LEVELS: Mapping[str, int] = {"verbose": logging.INFO, "quiet": logging.ERROR}
_INDENT = " " * 26  # the counts of an outcome begin here
_ISSUE_CHARS = 20
_NO_BREAK = "\0"  # a space at which no line ends
_NEXT: Mapping[str, tuple[str, str]] = {  # after each stage: the command, and what it is for
    "index": ("measure", "decodes and measures the images"),
    "measure": ("detect", "finds the outliers"),
    "detect": ("select", "chooses the images to keep"),
    "select": ("gallery", "makes a page for reviewing what was rejected; then `recolor shards build`"),
    "shard": ("train generator", "trains the first network on the shards"),
    "train-generator": ("train refiner", "trains the second network"),
    "train-refiner": ("evaluate", "measures both networks"),
}


def _choose_level(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        level = _LEVELS[str(parameter.name)]
        if context.meta.setdefault(_LEVEL, level) != level:
            raise click.UsageError("Give either --verbose or --quiet.", context)
        log_to_stderr(level)


def _choose_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    context.meta[_JSON] = value


def verbosity_options() -> list[click.Option]:
    """Returns the options of every command: `-v` and `-q`."""
    helps = {"-v/--verbose": "Also log what is done in detail.", "-q/--quiet": "Show results and errors only."}
    return [
        click.Option(
            names.split("/"), is_flag=True, expose_value=False, is_eager=True, callback=_choose_level, help=text
        )
        for names, text in helps.items()
    ]


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_choose_json,
    help="Print one JSON object with the outcomes of the stages, and no text.",
)


def log_level() -> int:
    """Returns the level of the log that the options of the command choose."""
    context = click.get_current_context(silent=True)
    return logging.WARNING if context is None else int(context.meta.get(_LEVEL, logging.WARNING))


def is_quiet() -> bool:
    """Returns whether the command was given `--quiet`."""
    return log_level() == logging.ERROR


def wants_json() -> bool:
    """Returns whether the command was given `--json`, so that nothing else may be on standard output."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_JSON, False))


def output_arguments() -> list[str]:
    """Returns the options that make another program of Recolor write as this one."""
    levels = {logging.INFO: ["--verbose"], logging.ERROR: ["--quiet"]}
    return [*levels.get(log_level(), []), *(["--json"] if wants_json() else [])]


def width_chars() -> int:
    """Returns the width of the terminal, or of `COLUMNS`; 80 if there is none."""
    return max(40, shutil.get_terminal_size().columns)


@contextmanager
def outcomes_printed() -> Iterator[Callable[[Outcome], None]]:
    """Yields a function that prints the outcome of a stage.

    With `--json`, one object is printed at the end instead, after an error too: `outcomes`, a list, and `error`, null
    or an object of `type` and `message`.
    """
    if not wants_json():
        yield lambda outcome: None if is_quiet() else click.echo(outcome_text(outcome, width_chars()))
        return
    outcomes: list[Outcome] = []
    try:
        yield outcomes.append
    finally:
        error = sys.exception()
        failure = None if error is None else {"type": type(error).__name__, "message": str(error)}
        listed = [asdict(outcome) | {"counts": dict(outcome.counts)} for outcome in outcomes]
        click.echo(json.dumps({"outcomes": listed, "error": failure}, indent=1, ensure_ascii=False))


def outcome_text(outcome: Outcome, width: int) -> str:
    """Returns the outcome of a stage: its name, time and counts; for `detect`, a line for each issue.

    Args:
        outcome: The outcome.
        width: Maximum length of a line, in characters.
    """
    took = "cached" if outcome.current else f"{outcome.seconds_s:.1f} s"
    counts = dict(outcome.counts)
    issues: dict[str, int] = {}
    if outcome.stage == "detect":
        images = counts.pop("images", 0)
        issues, counts = counts, {"images": images}
    counts |= {split: counts.pop(split) for split in SPLITS if split in counts}  # records are sorted by name
    parts = [_counted(name.replace("_", " "), count) for name, count in counts.items()]
    if outcome.built and outcome.reused:
        parts.append(f"{_counted('parts', outcome.built)} built, {outcome.reused:,} reused")
    unbroken = [part.replace(" ", _NO_BREAK) for part in parts]
    text = "; ".join([", ".join(unbroken), *([outcome.note] if outcome.note else [])])
    first = f"{outcome.stage:<15} {took:>8}  "
    wrapped = textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(
        [wrapped.replace(_NO_BREAK, " "), *(_issue_line(name, count, images) for name, count in issues.items())]
    )


def _counted(name: str, count: int) -> str:
    return f"{count:,} {name.removesuffix('s') if count == 1 else name}"


def _issue_line(name: str, count: int, images: int) -> str:
    share = f"{count / images:7.1%}" if images else ""
    return f"{_INDENT}{name:<{_ISSUE_CHARS}}{count:>9,}{share}"


def print_next(command: str, purpose: str) -> None:
    """Prints the command to run next and what it does, unless only results are wanted."""
    if not (is_quiet() or wants_json()):
        click.echo(f"\nNext: {command}\n      {purpose}")


def print_next_stage(stage: str, options: Sequence[str]) -> None:
    """Prints the command to run after a stage.

    Args:
        stage: The last stage that ran.
        options: Options that name the workspace and the settings.
    """
    if stage in _NEXT:
        command, purpose = _NEXT[stage]
        print_next(shlex.join(["recolor", *command.split(), *options]), purpose)
