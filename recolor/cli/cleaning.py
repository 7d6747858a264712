"""The verbs for cleaning: index, measure, detect, select, clean (all four) and gallery."""

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from recolor.cli.last_settings import say_reverted
from recolor.cli.options import Target, UserPath, option, read_settings, run_options, stage_options, suggest_option
from recolor.cli.output import print_next, wants_json
from recolor.cli.running import run_detectors, run_stages, settings_arguments
from recolor.pipeline.workspace import Workspace, existing_workspace, indexed_images


@click.command()
@run_options
def index(target: Target) -> None:
    """List the image files of a folder."""
    run_stages(["index"], target)


@click.command()
@run_options
def measure(target: Target) -> None:
    """Decode and measure every new or changed image."""
    run_stages(["measure"], target)


@click.command()
@click.argument("issues", nargs=-1, metavar="[ISSUE]...")
@run_options
@suggest_option
def detect(target: Target, issues: tuple[str, ...], suggest: bool) -> None:
    """Find outliers, and write one manifest for each issue.

    With the names of issues, such as `blurry skewed`, only these are detected again.
    """
    scores = Workspace(target.workspace).manifest("scores")
    had_scores = scores.is_file()
    if issues:
        run_detectors(issues, target, _suggestion(target, suggest))
    else:
        run_stages(["detect"], target, _suggestion(target, suggest))
    if had_scores and not scores.is_file():
        said = "scores.parquet was of the earlier detection and is deleted; `recolor select` writes it anew."
        click.echo(said, err=True)


@click.command()
@run_options
@suggest_option
def clean(target: Target, suggest: bool) -> None:
    """Run index, measure, detect and select."""
    run_stages(["index", "measure", "detect", "select"], target, _suggestion(target, suggest))


@click.command()
@run_options
def select(target: Target) -> None:
    """Choose the images to keep, and split them.

    An image is kept unless an issue or your manifests/decisions.csv rejects it. Your decisions override the issues.
    """
    run_stages(["select"], target)


@click.command()
@stage_options
@option(
    "--out",
    metavar="FILE",
    type=UserPath(dir_okay=False),
    help="Write this HTML file.",
    show_default="WORKSPACE/manifests/gallery.html",
)
@option(
    "--max",
    "most",
    type=click.IntRange(min=1),
    default=5000,
    help="Show at most this number of outliers for each issue.",
)
def gallery(target: Target, out: Path | None, most: int) -> None:
    """Make a page for reviewing the outliers.

    On the page you decide which images to keep or reject, and save your decisions as decisions.csv.
    """
    config = read_settings(target)
    from recolor.cleaning.detect import ISSUES
    from recolor.cleaning.gallery import make_gallery

    workspace = existing_workspace(target.workspace)
    say_reverted(target, ISSUES)
    images = target.images or _remembered(workspace)
    made = make_gallery(workspace, images, config, out=out, max_outliers=most)
    undecoded = f", {made.without_picture:,} of them cannot be decoded" if made.without_picture else ""
    click.echo(f"{made.images:,} images{undecoded}")
    click.echo(f"{made.path} ({made.size_bytes / 1e6:.1f} MB)")
    print_next(
        shlex.join(["recolor", "select", *settings_arguments(target)]),
        f"after you have reviewed the page and saved its decisions.csv in {workspace.manifests}",
    )


def _remembered(workspace: Workspace) -> Path | None:
    """Returns the folder that was indexed last; None, with a hint, if it is not known or not there."""
    images = indexed_images(workspace)
    if images is not None and images.is_dir():
        return images
    missing = "the folder of photographs is not known" if images is None else f"{images}: there is no such folder"
    click.echo(f"{missing}, so the page has no pictures. Give the folder with --images.", err=True)
    return None


def _suggestion(target: Target, wanted: bool) -> Callable[[], None] | None:
    """Returns what prints suggestions after the stages; None if they are not wanted."""
    if wanted and wants_json():
        raise click.UsageError("--suggest prints text, so it cannot be given together with --json.")
    return partial(_suggest_thresholds, target) if wanted else None


def _suggest_thresholds(target: Target) -> None:
    """Prints how many images each threshold rejects, and better thresholds if any."""
    from recolor.cleaning.thresholds import suggest, suggestion_text

    click.echo("\n" + suggestion_text(suggest(existing_workspace(target.workspace), read_settings(target))))
