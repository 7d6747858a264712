"""The verb that lists the trainings, and the one that makes a training the current model."""

import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recolor.cli.groups import VerbGroup, refuse_options_before_command
from recolor.cli.options import option, workspace_option
from recolor.pipeline.workspace import existing_workspace, locked

if TYPE_CHECKING:
    from recolor.models.run_summary import RunSummary

_CURVE_CHARS = 10
_MOST_CHARS = 100


@click.group(cls=VerbGroup, invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@workspace_option
@option("--json", "as_json", is_flag=True, help="Print the runs as JSON.")
@click.pass_context
def runs(context: click.Context, workspace: Path, as_json: bool) -> None:
    """List the finished trainings, or make one the current model.

    Each training is kept as data/models/runs/NAME/, which `--model` of other commands takes. The list shows the lowest
    validation loss, its curve, and the settings in which the runs of a model differ. Runs are never overwritten; to
    delete one, delete its folder.
    """
    if context.invoked_subcommand is not None:
        refuse_options_before_command(context)
        return
    from recolor.models.run_summary import summarise_runs

    summaries = summarise_runs(existing_workspace(workspace))
    if as_json:
        click.echo(json.dumps([summary.to_json() for summary in summaries], indent=1))
    else:
        click.echo(_table(summaries, min(shutil.get_terminal_size().columns, _MOST_CHARS)))


@runs.command()
@workspace_option
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def promote(workspace: Path, names: tuple[str, ...]) -> None:
    """Make runs the current models of the workspace.

    Copies their files into data/models/generator/ or data/models/refiner/. The model that was there remains a run.
    """
    from recolor.models import runs as kept

    opened = existing_workspace(workspace)
    with locked(opened):
        chosen = [kept.named_run(opened, name) for name in names]
        for run in chosen:
            kept.promote(opened, run)
            click.echo(f"{run.model:<9}  {run.name} is the current model")
    from recolor.models.run_summary import summarise_runs

    for line in _stale(summarise_runs(opened)):
        click.echo(line, err=True)


def _stale(summaries: Sequence["RunSummary"]) -> list[str]:
    """Returns lines that say so if the current refiner was not trained on the current generator, and what to do."""
    current = {summary.run.model: summary for summary in summaries if summary.current}
    refiner = current.get("refiner")
    if refiner is None or not refiner.stale:
        return []
    lines = [f"The current refiner, {refiner.run.name}, is stale: it was trained on another generator."]
    if "generator" in current:
        generator = current["generator"].run.name
        fitting = [one.run.name for one in summaries if one.run.model == "refiner" and generator in one.generator]
        lines.append(f"Run `recolor runs promote {fitting[-1]}`." if fitting else "Run `recolor train refiner`.")
    if refiner.generator:
        lines.append(f"Or go back to its generator: `recolor runs promote {refiner.generator[-1]}`.")
    return lines


def _table(summaries: Sequence["RunSummary"], width_chars: int) -> str:
    if not summaries:
        return "No runs yet: `recolor train generator` makes one."
    from recolor.models.runs import total_size_bytes

    name_chars = max(4, *(len(summary.run.name) for summary in summaries))
    lines = []
    for model in dict.fromkeys(summary.run.model for summary in summaries):
        lines.append(
            f"{model + ' run':<{name_chars + 2}}  {'steps':>7}  {'val loss':>8}  {'curve':<10}  {'size':>8}  finished"
        )
        for summary in summaries:
            if summary.run.model == model:
                lines += _rows(summary, name_chars, width_chars)
    marks = "* is the current model" + (", ! a stale one" if any(summary.stale for summary in summaries) else "")
    lines.append(f"{marks}. All runs: {_size(total_size_bytes(summary.run for summary in summaries))}.")
    lines.append(f"Delete a run with `rm -r {summaries[0].run.folder.parent}/NAME`.")
    return "\n".join([*lines, *_stale(summaries)])


def _rows(summary: "RunSummary", name_chars: int, width_chars: int) -> list[str]:
    from recolor.models.run_summary import sparkline

    mark = "!" if summary.stale else "*" if summary.current else " "
    loss = "-" if summary.least_loss is None else f"{summary.least_loss:.4f}"
    curve = sparkline([loss for _, loss in summary.losses], _CURVE_CHARS)
    run = summary.run
    numbers = f"{summary.steps:>7,}  {loss:>8}  {curve:<{_CURVE_CHARS}}  {_size(run.size_bytes):>8}"
    row = f"{mark} {run.name:<{name_chars}}  {numbers}  {run.finished.astimezone():%Y-%m-%d}"
    facts = [f"{name} {value}" for name, value in summary.differing.items()]
    if summary.generator:
        facts.insert(0, f"on {summary.generator[-1]}")
    told = textwrap.wrap(
        ", ".join(facts), width_chars, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    return [row, *told]


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
