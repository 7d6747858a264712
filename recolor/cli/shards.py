"""The verbs for shards: build, verify, repair and show."""

import io
from pathlib import Path

import click

from recolor.cli.groups import VerbGroup
from recolor.cli.options import Target, UserPath, option, read_settings, run_options, stage_options, workspace_option
from recolor.cli.output import json_option, wants_json
from recolor.cli.running import run_stages
from recolor.config.settings import SPLITS
from recolor.pipeline.storage import write_output
from recolor.pipeline.workspace import existing_workspace, locked


@click.group(cls=VerbGroup)
def shards() -> None:
    """Build, verify, repair or show the Lab tensor shards."""


@shards.command()
@run_options
def build(target: Target) -> None:
    """Write the kept images as Lab tensor shards."""
    run_stages(["shard"], target)


@shards.command()
@workspace_option
def verify(workspace: Path) -> None:
    """Read every byte of the shards and name damaged files."""
    from recolor.shards.writer import verify_shards

    verify_shards(existing_workspace(workspace))
    click.echo("all shards are intact")


@shards.command()
@stage_options
@json_option
def repair(target: Target) -> None:
    """Verify the shards and rebuild the damaged ones."""
    read_settings(target)  # raises for an invalid setting before anything is deleted
    from recolor.shards.writer import drop_damaged

    workspace = existing_workspace(target.workspace)
    with locked(workspace):
        dropped = drop_damaged(workspace)
    for name in dropped:
        click.echo(f"{name}: damaged; rebuilding it", err=wants_json())
    run_stages(["shard"], target)


@shards.command()
@workspace_option
@option("--images", type=click.IntRange(1, 4096), default=48, help="Show at most this number of images.")
@option(
    "--split",
    type=click.Choice(SPLITS),
    help="Show images of one split only.",
    show_default="all splits",
)
@option(
    "--out",
    metavar="FILE",
    type=UserPath(dir_okay=False),
    help="Write this PNG file.",
    show_default="WORKSPACE/data/shards.png",
)
def show(workspace: Path, images: int, split: str | None, out: Path | None) -> None:
    """Draw stored images as the networks will see them.

    The images are evenly spaced over the shards.
    """
    from recolor.shards.contact_sheet import contact_sheet

    opened = existing_workspace(workspace)
    target = out or opened.shards.with_suffix(".png")
    buffer = io.BytesIO()
    contact_sheet(opened, images, split).save(buffer, "PNG")
    write_output(target, buffer.getvalue())
    click.echo(target)
