"""The verb `status`, and `--dry-run` of the stages: what is there, what is up to date, what would be done again."""

import json
import shlex
import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recolor.cli.last_settings import say_reverted
from recolor.cli.options import Target, option, read_settings, stage_options
from recolor.cli.output import wants_json
from recolor.pipeline.workspace import Workspace, existing_workspace, indexed_images

if TYPE_CHECKING:
    from recolor.status import StageStatus

_WIDTH_CHARS = 80
_MOST_REASONS = 6  # of a stage
_INDENT = " " * 17


@click.command()
@stage_options
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(target: Target, as_json: bool) -> None:
    """Show what is there, what is up to date, and what comes next.

    Each stage is `current` (a run would do nothing), `stale` (a run would do it again), `partly done` (a run continues)
    or `missing`. A stage that is not current has the reason below it: a setting, an input or a version that differs.
    Changes nothing.
    """
    workspace, config = existing_workspace(target.workspace), read_settings(target)
    from recolor.status import workspace_status

    images = target.images or indexed_images(workspace)
    statuses = workspace_status(workspace, images, config)
    if as_json:
        click.echo(_json(workspace, images, statuses, target))
        return
    click.echo(f"workspace  {workspace.root}\nimages     {images or 'not known: give --images'}\n")
    click.echo("\n".join(line for each in statuses for line in status_lines(each)))
    following = _next(statuses, target)
    click.echo(f"\nNext: {following}" if following else "\nEverything is up to date.")
    groups = [group.name for group in fields(config) if group.name != "execution"]
    say_reverted(target, groups, following or shlex.join(["recolor", "run", *_options(target)]))


def print_dry_run(target: Target, stages: Sequence[str] | None, issues: Collection[str] | None = None) -> None:
    """Prints what a run of some stages would do, in the form of `recolor status`, with `--json` too, and does nothing.

    Args:
        target: Options of the command.
        stages: Names of the stages; None for all.
        issues: Names of the issues that it would detect; None for all.
    """
    config = read_settings(target)
    from recolor.status import workspace_status

    makes_one = stages is None or "index" in stages
    workspace = Workspace(target.workspace.absolute()) if makes_one else existing_workspace(target.workspace)
    named = {} if issues is None else {"issues": tuple(issues)}
    statuses = workspace_status(workspace, target.images, config, stages, **named)
    if wants_json():
        click.echo(_json(workspace, target.images or indexed_images(workspace), statuses, target))
        return
    click.echo("\n".join(line for each in statuses for line in status_lines(each)))
    impossible = next((each.stage for each in statuses if not each.is_possible), None)
    would = ", ".join(each.stage for each in statuses if each.state != "current") or "nothing"
    ends = f"A run could not do {impossible}." if impossible else f"A run would do: {would}."
    click.echo(f"\nNothing was done (--dry-run). {ends}")


def status_lines(status: "StageStatus") -> Iterator[str]:
    """Yields the lines of a stage: state, time, seconds of work and progress, then counts and reasons."""
    finished = "" if status.finished is None else status.finished.astimezone().strftime("%d %b %H:%M")
    work = "" if status.seconds_s is None else f"{status.seconds_s:,.1f} s"
    counts = ", ".join(
        f"{name} {count:,}" for name, count in status.counts.items() if count or status.stage != "detect"
    )
    first = f"{status.stage:<16} {status.state:<11}  {finished:>12}  {work:>9}"
    progress = status.progress
    if progress is not None and progress.done < progress.total:
        first += f"  {progress.done:,} of {progress.total:,} {progress.unit} done"
    if len(first) + 2 + len(counts) <= _WIDTH_CHARS:
        yield f"{first}  {counts}".rstrip()
    else:
        yield first.rstrip()
        yield from _wrapped(counts)
    for reason in status.reasons[:_MOST_REASONS]:
        yield from _wrapped(f"- {reason}")
    if len(status.reasons) > _MOST_REASONS:
        yield from _wrapped(f"- and {len(status.reasons) - _MOST_REASONS} more; `recolor status --json` lists them")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH_CHARS,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT + ("  " if text.startswith("- ") else ""),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _json(workspace: Workspace, images: Path | None, statuses: Sequence["StageStatus"], target: Target) -> str:
    stages = [
        {
            "stage": each.stage,
            "state": each.state,
            "reasons": list(each.reasons),
            "progress": None
            if each.progress is None
            else {"done": each.progress.done, "total": each.progress.total, "unit": each.progress.unit},
            "counts": dict(each.counts),
            "seconds_s": each.seconds_s,
            "finished": None if each.finished is None else each.finished.isoformat(),
            "command": each.command,
        }
        for each in statuses
    ]
    places = {"workspace": str(workspace.root), "images": None if images is None else str(images)}
    return json.dumps({**places, "stages": stages, "next": _next(statuses, target) or None}, indent=1)


def _next(statuses: Sequence["StageStatus"], target: Target) -> str:
    """Returns the command to run next with the options of this one; empty if everything is current."""
    from recolor.status import next_command

    command = next_command(statuses)
    if not command:
        return ""
    folder = ["--images", "FOLDER"] if statuses[0].state == "missing" and target.images is None else []
    return shlex.join([*command.split(), *folder, *_options(target)])


def _options(target: Target) -> list[str]:
    """Returns the options of the command line that give this target."""
    places = {"--workspace": None if target.workspace == Path() else target.workspace, "--images": target.images}
    given = {**places, "--preset": target.preset, "--config": target.file}
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return [*words, *(word for override in target.overrides for word in ("--set", override))]
