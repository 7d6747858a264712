"""The verbs that evaluate models, with metrics or with a page on which people judge."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor.cli.groups import VerbGroup, refuse_options_before_command
from recolor.cli.options import (
    Target,
    UserPath,
    look_option,
    model_option,
    option,
    read_settings,
    run_options,
    stage_options,
)
from recolor.cli.output import print_next, wants_json, width_chars
from recolor.cli.running import run_stages
from recolor.config.settings import SPLITS
from recolor.models.folders import check_both_models, check_generator
from recolor.pipeline.inputs import check_inputs
from recolor.pipeline.workspace import existing_workspace

if TYPE_CHECKING:
    from recolor.evaluation import Evaluated

_split_option = option(
    "--split",
    type=click.Choice(SPLITS),
    help="Measure on this split of the workspace's shards.",
    show_default="test",
)
_max_images_option = option(
    "--max-images", type=click.IntRange(min=1), help="Measure at most this number of images.", show_default="1000"
)
_lpips_option = option(
    "--lpips-weights", metavar="FILE", type=UserPath(), help="Add LPIPS, from these weights of AlexNet."
)
_inception_option = option(
    "--inception-weights", metavar="FILE", type=UserPath(), help="Add FID and KID, from these weights of Inception."
)
_control_option = option(
    "--control",
    "controls",
    metavar="DIR",
    type=UserPath(),
    multiple=True,
    help="Compare with the model in this folder. May be repeated.",
)
_out_option = option(
    "--out",
    metavar="DIR",
    type=UserPath(),
    required=True,
    help="Write the tables and the report into this folder.",
)


@click.group(cls=VerbGroup, invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@run_options
@_split_option
@_max_images_option
@_lpips_option
@_inception_option
@click.pass_context
def evaluate(context: click.Context, /, target: Target, **settings: str | int | Path | None) -> None:
    """Measure models, and write tables, pictures and report.html.

    Without a command, measures the workspace's models and their controls on a split that the models were not trained
    on, and writes the results into WORKSPACE/data/evaluation/.
    """
    if context.invoked_subcommand is None:
        target = _with_settings(target, settings)
        run_stages(["evaluate"], target, None if wants_json() else partial(_print_metrics, target))
    elif wants_json():
        raise click.UsageError(f"`evaluate {context.invoked_subcommand}` does not take --json.", context)
    else:
        refuse_options_before_command(context)


@evaluate.command("photos")
@click.argument("photos", metavar="DIR", type=UserPath())
@_out_option
@option(
    "--model",
    "models",
    metavar="DIR",
    type=UserPath(),
    multiple=True,
    help="Measure the model in this folder. May be repeated.",
    show_default="the models that come with Recolor",
)
@_control_option
@look_option
@option("--size-px", type=click.IntRange(32, 4096), default=256, help="Reduce larger photographs to this short side.")
@_max_images_option
@_lpips_option
@_inception_option
@stage_options
def evaluate_photos(
    target: Target,
    *,
    photos: Path,
    models: tuple[Path, ...],
    controls: tuple[Path, ...],
    out: Path,
    look: str,
    size_px: int,
    **settings: Any,
) -> None:
    """Measure models on a folder of colour photographs.

    Colours the photographs in DIR as `recolor colorize` does, and compares the result with their own colours. Several
    models are measured side by side. Each control is measured twice, as it is and with its saturation times 1.5. A
    model is a folder that contains generator/ and refiner/, or generator/ alone.
    """
    config = read_settings(_with_settings(target, settings))
    check_inputs([photos])
    _check_models(models, controls)
    from recolor.colorize import Look
    from recolor.evaluation import evaluate_photos as measure_on_photos

    chosen = Look.named(look)
    measured = measure_on_photos(photos, out, config, models=models, controls=controls, look=chosen, size_px=size_px)
    _print_evaluated(measured)


@evaluate.command("models")
@click.argument("models", metavar="[DIR]...", nargs=-1, type=UserPath())
@_out_option
@_control_option
@look_option
@_split_option
@_max_images_option
@_lpips_option
@_inception_option
@stage_options
def evaluate_models(
    target: Target, *, models: tuple[Path, ...], controls: tuple[Path, ...], out: Path, look: str, **settings: Any
) -> None:
    """Measure any models on a split of the workspace.

    Several models are measured side by side. Each control is measured twice, as it is and with its saturation times
    1.5. DIR is a folder that contains generator/ and refiner/, or generator/ alone. Without DIR, the workspace's models
    are measured.
    """
    config = read_settings(_with_settings(target, settings))
    workspace = existing_workspace(target.workspace)
    _check_models(models, controls)
    from recolor.colorize import Look
    from recolor.evaluation import evaluate_split

    chosen = Look.named(look)
    _print_evaluated(evaluate_split(workspace, out, config, models=models, controls=controls, look=chosen))


@evaluate.command("suggest")
@_max_images_option
@stage_options
def evaluate_suggest(target: Target, **settings: Any) -> None:
    """Suggest a temperature and a saturation.

    Measures the workspace's models on the val split at several temperatures: each as it is, and with the saturation
    that makes the images as colourful as the photographs. Prints the settings to put into recolor.toml.
    """
    config, workspace = read_settings(_with_settings(target, settings)), existing_workspace(target.workspace)
    from recolor.evaluation import calibration_text, suggest_calibration

    click.echo(calibration_text(suggest_calibration(workspace, config)))


@click.command()
@click.argument("photographs", nargs=-1, required=True, type=UserPath())
@model_option
@option("--pairs", type=click.IntRange(1, 500), default=20, help="Show this number of pairs.")
@option("--size-px", type=click.IntRange(64, 2048), default=384, help="Make pictures with this long side.")
@option("--seed", type=click.IntRange(min=0), default=0, help="Choose and order photographs by this seed.")
@option(
    "--out",
    metavar="FILE",
    type=UserPath(dir_okay=False),
    default=Path("turing.html"),
    help="Write this HTML file.",
)
def turing(photographs: tuple[Path, ...], model: Path | None, out: Path, **options: Any) -> None:
    """Make a page on which people guess which colours are real.

    PHOTOGRAPHS are colour photographs, or folders of them, that the model was not trained on. Each is shown beside its
    own lightness coloured by the model. The page needs no server; it neither loads nor sends anything.
    """
    check_inputs(photographs)
    if model:
        check_both_models(model)
    from recolor.colorize import Colorizer
    from recolor.evaluation.turing import make_turing

    colorizer = Colorizer.from_folder(model) if model else Colorizer.from_pretrained()
    made = make_turing(photographs, colorizer, out, **options)
    for skipped in made.skipped:
        click.echo(f"skipped: {skipped.name!r}: {skipped.why}", err=True)
    click.echo(f"{made.path} ({made.pairs:,} pairs, {made.size_bytes / 1e6:.1f} MB)")


def _check_models(models: Sequence[Path], controls: Sequence[Path]) -> None:
    """Checks that the folders have models, before torch is loaded, which takes seconds."""
    for folder in (*models, *controls):
        check_generator(folder)


def _with_settings(target: Target, settings: dict[str, Any]) -> Target:
    """Adds the options that set settings of `evaluate` to the overrides."""
    given = [f"evaluate.{name}={value}" for name, value in settings.items() if value is not None]
    return replace(target, overrides=(*target.overrides, *given))


def _print_metrics(target: Target) -> None:
    """Prints the table of a workspace's evaluation and the path of its report."""
    from recolor.evaluation import stored_text

    folder = existing_workspace(target.workspace).evaluation
    click.echo(f"\n{stored_text(folder, width_chars())}\n\n{folder / 'report.html'}")
    models = existing_workspace(target.workspace).models
    print_next(
        shlex.join(["recolor", "colorize", "PHOTOS", "OUT", "--model", str(models)]),
        "colours photographs with these models; open report.html for pictures first",
    )


def _print_evaluated(evaluated: "Evaluated") -> None:
    """Prints the table, the path of the report, and the photographs that could not be read."""
    for photo in evaluated.unreadable:
        click.echo(f"not measured: {photo.path!r}: {photo.error}", err=True)
    click.echo(f"{evaluated.text(width_chars())}\n\n{evaluated.report}")
