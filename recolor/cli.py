"""The command line: a verb for each stage. A verb loads only what it needs, so that help comes at once."""

import importlib.util
import io
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from recolor import __version__
from recolor.config import DeviceName
from recolor.errors import ConfigError
from recolor.invocation import (
    Target,
    describe,
    images_option,
    read_settings,
    run_reporting_errors,
    stage_options,
    suggest_option,
    workspace_option,
)
from recolor.storage import storage_errors, write_atomically
from recolor.workspace import Workspace, locked, open_workspace, remember_images, remembered_images


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="recolor")
@click.option("-v", "--verbose", is_flag=True, help="Also say what goes well.")
def cli(verbose: bool) -> None:
    """From a folder of photographs to a model that colours greyscale landscapes.

    Every stage is cached and resumable: run the same command again and only what is missing is done.
    """
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


@cli.command()
@stage_options
def index(target: Target) -> None:
    """List the image files of a folder."""
    _run_stages(["index"], target)


@cli.command()
@stage_options
def measure(target: Target) -> None:
    """Decode and measure every image that is new or has changed."""
    _run_stages(["measure"], target)


@cli.command()
@stage_options
@suggest_option
def detect(target: Target, suggest: bool) -> None:
    """Judge the measurements: a manifest of outliers for each issue."""
    _run_stages(["detect"], target)
    if suggest:
        _suggest_thresholds(target)


@cli.command()
@stage_options
def select(target: Target) -> None:
    """Put the issues and your decisions together: what is kept, and its split."""
    _run_stages(["select"], target)


@cli.command()
@stage_options
@suggest_option
def clean(target: Target, suggest: bool) -> None:
    """Index, measure, detect and select."""
    _run_stages(["index", "measure", "detect", "select"], target)
    if suggest:
        _suggest_thresholds(target)


@cli.command("export-clean")
@images_option
@workspace_option
@click.option("--link", "mode", flag_value="link", default=None, help="Symbolic links to the photographs.")
@click.option("--copy", "mode", flag_value="copy", help="Copies of the photographs.")
@click.option("--by-split", is_flag=True, help="Put the images under train/, val/ and test/.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def export_clean(
    images: Path | None, workspace: Path, mode: Literal["link", "copy"] | None, by_split: bool, folder: Path
) -> None:
    """Make DIR hold the kept images, as links or copies; your photographs stay as they are.

    Run it again and only what changed is done. What it wrote and is kept no more is removed from DIR; files of yours
    in DIR are neither replaced nor removed. Images that cannot be exported are named at the end; the others are done.
    """
    if mode is None:
        raise click.UsageError("Say --link or --copy.")
    from recolor.export import export_clean as export

    opened = open_workspace(workspace)
    with locked(opened):
        source = images.expanduser() if images else remembered_images(opened)
        result = export(opened, source, folder, mode, by_split=by_split)
    counts = f"{len(result.written):,} written, {len(result.current):,} there already, {len(result.removed):,} removed"
    click.echo(f"{counts}, {len(result.problems):,} not exported: {folder}")
    for path in result.removed:
        click.echo(f"removed, as it is of an earlier export: {path!r}")
    for path in result.left:
        click.echo(f"of an earlier export, but changed since or the last copy, so left in place: {path!r}", err=True)
    for problem in result.problems:
        click.echo(f"not exported: {problem.path!r}: {problem.why}", err=True)
    if result.problems:
        sys.exit(1)


@cli.command()
@stage_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="[WORKSPACE/manifests/gallery.html]")
@click.option("--max", "most", type=click.IntRange(min=1), default=5000, help="Outliers of an issue to show.  [5000]")
def gallery(target: Target, out: Path | None, most: int) -> None:
    """Make a page to look at the outliers, to decide about them, and to save decisions.csv."""
    config = read_settings(target)
    from recolor.gallery import make_gallery

    workspace = open_workspace(target.workspace)
    images = target.images.expanduser() if target.images else remembered_images(workspace)
    made = make_gallery(workspace, images, config, out=out, max_outliers=most)
    click.echo(f"{made.images:,} images, {made.without_picture:,} of them cannot be decoded")
    click.echo(f"{made.path} ({made.size_bytes / 1e6:.1f} MB)")


@cli.command()
@stage_options
@click.option("--repair", is_flag=True, help="First read every byte of the shards, and rebuild those that are damaged.")
def shard(target: Target, repair: bool) -> None:
    """Write the kept images as Lab tensor shards."""
    if repair:
        read_settings(target)  # a bad one stops before anything is deleted
        from recolor.shards import drop_damaged

        workspace = open_workspace(target.workspace)
        with locked(workspace):
            dropped = drop_damaged(workspace)
        for name in dropped:
            click.echo(f"{name}: damaged, is rebuilt")
    _run_stages(["shard"], target)


@cli.group()
def shards() -> None:
    """Look after the shards."""


@shards.command("verify")
@workspace_option
def shards_verify(workspace: Path) -> None:
    """Read every byte of the shards and name each that is damaged."""
    from recolor.shards import verify_shards

    verify_shards(open_workspace(workspace))
    click.echo("every shard is as it was written")


@shards.command("show")
@workspace_option
@click.option("--images", type=click.IntRange(1, 4096), default=48, help="At most so many.  [48]")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Of this split alone.")
@click.option("--out", type=click.Path(path_type=Path), help="PNG to write.  [WORKSPACE/data/shards.png]")
def shards_show(workspace: Path, images: int, split: str | None, out: Path | None) -> None:
    """Draw stored images, evenly spaced over the shards, as the networks will see them."""
    from recolor.contact_sheet import contact_sheet

    opened = open_workspace(workspace)
    target = out or opened.shards.with_suffix(".png")
    buffer = io.BytesIO()
    contact_sheet(opened, images, split).save(buffer, "PNG")
    with storage_errors(target):
        write_atomically(target, buffer.getvalue())
    click.echo(target)


@cli.group()
def train() -> None:
    """Train the generator or the refiner; a killed training goes on where it was."""


@train.command("generator")
@stage_options
def train_generator(target: Target) -> None:
    """Train the generator: L to coarse ab."""
    _run_stages(["train-generator"], target)


@train.command("refiner")
@stage_options
def train_refiner(target: Target) -> None:
    """Train the refiner: L and coarse ab to full ab."""
    _run_stages(["train-refiner"], target)


@cli.group()
def bench() -> None:
    """Measure how fast a stage runs on this machine."""


@bench.command("train")
@stage_options
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="[auto]")
@click.option("--model", "models", type=click.Choice(["generator", "refiner"]), multiple=True, help="[both]")
@click.option("--mode", "modes", type=click.Choice(["eager", "compiled"]), multiple=True, help="[eager; on CUDA both]")
@click.option("--batch", "batch_images", type=click.IntRange(min=1), help="Images a step.  [as set; on a CPU up to 8]")
@click.option("--warmup-steps", type=click.IntRange(min=0), help="Steps that do not count.  [2; on CUDA 10]")
@click.option("--steps", type=click.IntRange(min=1), help="Steps that count.  [5; on CUDA 50]")
@click.option("--trace", is_flag=True, help="Also show the operations that take the most time.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="JSON file for the figures.")
def bench_train(target: Target, out: Path | None, **options: Any) -> None:
    """Measure the two trainings beside what the device does at most.

    Images a second, the share of a step that waits for data, operations and memory traffic a second, and their shares
    of the device's own matrix rate and copy bandwidth. Reads the workspace's shards where it has some, else random
    ones, and keeps nothing.

    `data` is what a step spends on getting its batch ready, `waiting` what of it is not conversion on the device; GB/s
    counts what each operation would move by itself, so that compiled steps may seem to move more than they can.
    """
    config = read_settings(target)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would report its own starts and stops
    from recolor.bench import Options, bench_training, report_json, report_text

    report = bench_training(Workspace(target.workspace.expanduser().absolute()), config, Options(**options))
    if out is not None:
        with storage_errors(out):
            write_atomically(out, report_json(report))
    click.echo(report_text(report))


@cli.command()
@stage_options
def evaluate(target: Target) -> None:
    """Measure the models against their controls; metrics, pictures, report.html."""
    _run_stages(["evaluate"], target)


@cli.command()
@stage_options
@click.option("--prefect", is_flag=True, help="Run the same stages as a Prefect flow (its own server if none is set).")
def run(target: Target, prefect: bool) -> None:
    """Run the whole pipeline, from the folder to the report."""
    if prefect:
        _run_flow(target)
    else:
        _run_stages(None, target)


@cli.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--models", type=click.Path(path_type=Path), default=Path("data/models"), help="[data/models]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="[auto]")
@click.option("--overwrite", is_flag=True, help="Colour again what is in OUT already.")
def colorize(inputs: tuple[Path, ...], out: Path, models: Path, device: DeviceName, overwrite: bool) -> None:
    """Colour photographs: INPUTS are files or folders, OUT is a folder.

    Folders keep their structure. Files that cannot be read are named at the end; the others are done.
    """
    from recolor.colorize import Colorizer, colorize_paths

    colorizer = Colorizer.from_folder(models, device)
    result = colorize_paths(inputs, out, colorizer, overwrite=overwrite)
    click.echo(f"{len(result.done)} coloured, {len(result.skipped)} there already, {len(result.failed)} failed: {out}")
    for failure in result.failed:
        click.echo(f"{failure.path}: {failure.error}", err=True)
    if result.failed:
        sys.exit(1)


@cli.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("data/demo"), help="[data/demo]")
@click.option("--prefect/--no-prefect", default=True, help="As a Prefect flow, or as plain calls.  [prefect]")
def demo(folder: Path, prefect: bool) -> None:
    """Make a small data set with planted defects, run everything on it, and compare with the truth."""
    from recolor.demo import demo_summary, make_demo_images

    workspace = open_workspace(folder / "workspace")
    make_demo_images(folder / "images")
    with locked(workspace):
        write_atomically(workspace.settings_file, b'preset = "demo"\n')
    target = Target(folder / "images", workspace.root, None, None, ())
    if prefect:
        _run_flow(target)
    else:
        _run_stages(None, target)
    click.echo(demo_summary(workspace, folder / "truth.csv"))


@cli.command()
def schemas() -> None:
    """Print every manifest's columns, as manifests/README.md has them."""
    from recolor.manifest import schema_markdown

    click.echo(schema_markdown(), nl=False)


def _run_stages(names: list[str] | None, target: Target) -> None:
    """Runs the named stages (or all) under the workspace's lock, and says what each did."""
    config = read_settings(target)
    from recolor.pipeline import STAGES, check_can_train, run_stages

    stages = {name: STAGES[name] for name in names or STAGES}
    check_can_train(stages, config)
    workspace = open_workspace(target.workspace)
    with locked(workspace):
        images = target.images.expanduser() if target.images else remembered_images(workspace)
        for outcome in run_stages(stages, workspace, images, config):
            if outcome.stage == "index":
                remember_images(workspace, images)
            click.echo(describe(outcome))


def _suggest_thresholds(target: Target) -> None:
    """Prints what each threshold takes and what others would, and a better one where the data suggest it."""
    from recolor.suggest import suggest, suggestion_text

    click.echo("\n" + suggestion_text(suggest(open_workspace(target.workspace), read_settings(target))))


def _run_flow(target: Target) -> None:
    """Starts the flow as a program of its own: this package knows no Prefect."""
    read_settings(target)
    if importlib.util.find_spec("flows") is None:
        raise ConfigError("--prefect: the package `flows` is not installed. Run from the project's folder.")
    arguments = ["--workspace", str(target.workspace)]
    for option, value in (("--images", target.images), ("--preset", target.preset), ("--config", target.file)):
        arguments += [option, str(value)] if value is not None else []
    for word in target.words:
        arguments += ["--set", word]
    command = [sys.executable, "-m", "flows.clean_and_train", *arguments]
    code = subprocess.run(command, env={**_QUIET, **os.environ}, check=False).returncode  # noqa: S603 - our own module
    if code:
        sys.exit(code)


# Prefect without phoning home, and with time enough for its temporary server to start on a slow machine.
_QUIET: Mapping[str, str] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


def main() -> None:
    """The console script `recolor`."""
    run_reporting_errors(cli)


if __name__ == "__main__":
    main()
