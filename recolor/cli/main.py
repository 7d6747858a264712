"""The command line: a verb for each stage. A verb loads only what it needs, so that help comes at once."""

import importlib.util
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from recolor import __version__
from recolor.cli.options import (
    Target,
    describe,
    images_option,
    preset_option,
    read_settings,
    run_reporting_errors,
    stage_options,
    suggest_option,
    workspace_option,
)
from recolor.config.settings import ColorizeDevice, Runner
from recolor.errors import ConfigError, InputError
from recolor.pipeline.storage import storage_errors, write_atomically
from recolor.pipeline.workspace import Workspace, locked, open_workspace, remember_images, remembered_images

if TYPE_CHECKING:
    from recolor.colorize import Colorizer, ColorizeResult


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
    from recolor.cleaning.export import export_clean as export

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
    from recolor.cleaning.gallery import make_gallery

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
        from recolor.shards.writer import drop_damaged

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
    from recolor.shards.writer import verify_shards

    verify_shards(open_workspace(workspace))
    click.echo("every shard is as it was written")


@shards.command("show")
@workspace_option
@click.option("--images", type=click.IntRange(1, 4096), default=48, help="At most so many.  [48]")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Of this split alone.")
@click.option("--out", type=click.Path(path_type=Path), help="PNG to write.  [WORKSPACE/data/shards.png]")
def shards_show(workspace: Path, images: int, split: str | None, out: Path | None) -> None:
    """Draw stored images, evenly spaced over the shards, as the networks will see them."""
    from recolor.shards.contact_sheet import contact_sheet

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
@click.option("--photos", type=click.Path(path_type=Path), help="Measure on a folder of colour photographs instead.")
@click.option("--model", "models", type=click.Path(path_type=Path), multiple=True, help="Folder of a model to measure.")
@click.option("--control", "controls", type=click.Path(path_type=Path), multiple=True, help="Model to compare with.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the files; needed with the three above.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Of the workspace's shards.  [test]")
@click.option("--max-images", type=click.IntRange(min=1), help="At most so many.  [1000]")
@click.option("--size-px", type=click.IntRange(32, 4096), help="Short side photographs are reduced to.  [256]")
@click.option("--lpips-weights", type=click.Path(path_type=Path), help="AlexNet's weights: also measure LPIPS.")
@click.option("--inception-weights", type=click.Path(path_type=Path), help="Inception's weights: also FID and KID.")
@click.option("--suggest", is_flag=True, help="Only find T and saturation at which the models are colourful enough.")
def evaluate(
    target: Target,
    *,
    photos: Path | None,
    models: tuple[Path, ...],
    controls: tuple[Path, ...],
    out: Path | None,
    size_px: int | None,
    suggest: bool,
    **settings: str | int | Path | None,
) -> None:
    """Measure models against their controls; metrics, pictures, report.html.

    By itself it measures the workspace's models on a split that they were not trained on, into data/evaluation/.

    With --photos, it colours a folder of colour photographs as `recolor colorize` would, by default with the model that
    comes with Recolor. With --model, any models are measured side by side, on the photographs or on the workspace's
    split; each --control is measured too, as it is and with its saturation times 1.5. A model is a folder with
    generator/ and refiner/, or with generator/ alone.

    With --suggest it measures the workspace's models on the val split at several temperatures, each as it is and with
    the saturation that makes the set as colourful as the photographs, and prints what to put into recolor.toml.
    """
    if suggest and (photos or models or controls or out or settings["split"]):
        raise click.UsageError("--suggest is of the workspace's models and its val split. Give it alone.")
    if photos is None and size_px is not None:
        raise click.UsageError("--size-px is for --photos: the shards have a size of their own.")
    if photos is not None and settings["split"] is not None:
        raise click.UsageError("--split is of the workspace's shards. Give it or --photos.")
    if out is None and (photos is not None or models or controls):
        raise click.UsageError("Say where the tables and the report go: --out DIR.")
    given = [f"evaluate.{name}={value}" for name, value in settings.items() if value is not None]
    target = replace(target, words=(*target.words, *given))
    if suggest:
        _suggest_look(target)
        return
    if out is None:
        _run_stages(["evaluate"], target)
        _say_metrics(target)
        return
    config, out = read_settings(target), out.expanduser()
    from recolor.evaluation import evaluate_photos, evaluate_split

    if photos is not None:
        photos = photos.expanduser()
        found = evaluate_photos(photos, out, config, models=models, controls=controls, size_px=size_px or 256)
    else:
        workspace = Workspace(target.workspace.expanduser().absolute())
        found = evaluate_split(workspace, out, config, models=models, controls=controls)
    for photo in found.unreadable:
        click.echo(f"not measured: {photo.path!r}: {photo.error}", err=True)
    click.echo(f"{found.text}\n\n{found.report}")


@cli.command()
@stage_options
@click.option("--prefect", is_flag=True, help="Run the same stages as a Prefect flow (its own server if none is set).")
@click.option("--runner", type=click.Choice(get_args(Runner)), help="Who decodes; dask needs --prefect.  [auto]")
@click.option("--dask-address", metavar="ADDRESS", help="The cluster's scheduler, such as tcp://10.0.0.1:8786.")
def run(target: Target, prefect: bool, runner: str | None, dask_address: str | None) -> None:
    """Run the whole pipeline, from the folder to the report.

    On a Dask cluster, photographs and workspace are on a file system that every worker sees at the same paths.
    """
    given = {"runner": runner, "dask_address": dask_address}
    words = [f"execution.{name}={json.dumps(value)}" for name, value in given.items() if value is not None]
    target = replace(target, words=(*target.words, *words))
    if prefect:
        _run_flow(target)
    else:
        _run_stages(None, target)


@cli.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Folder of a generator and a refiner.  [Recolor's own]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="[auto]")
@click.option("--saturation", type=float, default=1.0, help="Multiplies the colour: 0 is grey.  [1]")
@click.option("--temperature", type=float, help="Lower is bolder: above 0, at most 1.  [the model's own]")
@click.option("--batch", type=click.IntRange(min=1), help="Photographs that run together.  [1; on CUDA 16]")
@click.option("--overwrite", is_flag=True, help="Colour again what is in OUT already.")
@click.option("--compare", is_flag=True, help="Also write NAME.compare.jpg: before and after, side by side.")
@click.option("--quality", type=click.IntRange(1, 100), default=95, help="Of JPEG and WebP.  [95]")
@click.option("--smoothing", type=float, default=0.8, help="Of a video's colour over time: 0 (none) to below 1.  [0.8]")
@click.option(
    "--format", "file_format", type=click.Choice(["png", "jpeg", "webp", "tiff"]), help="Of OUT `-`.  [INPUT's own]"
)
def colorize(
    inputs: tuple[Path, ...],
    out: Path,
    *,
    model: Path | None,
    device: ColorizeDevice,
    saturation: float,
    temperature: float | None,
    batch: int | None,
    file_format: str | None,
    smoothing: float,
    **options: Any,
) -> None:
    """Colour photographs, or a video, at their full size and with their own lightness.

    INPUTS are files, folders, or patterns in quotes such as "old/**/*.jpg"; OUT is a folder, which gets their
    structure. One photograph may also become a file: OUT is then a name such as new.png. `-` is standard input, and as
    OUT standard output.

    JPEG, PNG, WebP, TIFF and BMP stay what they are, others become PNG; 16 bits, transparency, EXIF, ICC and resolution
    are kept, and pixels stand upright. Run it again and only what is missing is done. Files that cannot be coloured are
    named at the end; the others are done, and the exit code is 1.

    A video (.mp4, .mov, .mkv, .avi, .webm) is coloured by itself, into a name such as new.mp4. Its sound is kept where
    the program `ffmpeg` is installed.
    """
    from recolor.colorize import Colorizer, Look, colorize_paths, is_video

    look = Look(saturation=saturation, temperature=temperature)
    colorizer = Colorizer.from_folder(model, device) if model else Colorizer.from_pretrained(device)
    if any(is_video(path) for path in (*inputs, out)):
        _colorize_video(
            inputs, out, colorizer, look=look, smoothing=smoothing, overwrite=options["overwrite"], batch=batch or 1
        )
        return
    wanted: Any = file_format and file_format.upper()
    result = colorize_paths(inputs, out, colorizer, look=look, batch_images=batch, file_format=wanted, **options)
    _report_colorized(result, out)
    if result.failed:
        sys.exit(1)


def _colorize_video(inputs: tuple[Path, ...], out: Path, colorizer: "Colorizer", **options: Any) -> None:
    """Colours one video, and says what became of it and of its sound."""
    from recolor.colorize import is_video

    if len(inputs) != 1 or not is_video(inputs[0]) or not is_video(out):
        raise InputError("a video is coloured by itself, and becomes a video: give one, and a name such as new.mp4.")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong with a video is said by our own errors
    from recolor.colorize.video import colorize_video

    result = colorize_video(inputs[0], out, colorizer, **options)
    name = click.format_filename(out)
    if result is None:
        click.echo(f"there already: {name}")
        return
    click.echo(f"{result.frames:,} frames, {result.length_s:.1f} s at {result.fps:g} frames/s: {name}")
    click.echo(
        f"flicker of what stands still: {result.flicker_after:.2f} ab units a frame,"
        f" {result.flicker_before:.2f} without smoothing"
    )
    click.echo(_SOUND[result.audio])
    if result.missing:
        click.echo(f"{result.missing:,} more frames that the source announces could not be read", err=True)
    if result.drift_s:
        off = f"up to {result.drift_s:.2f} s off their time"
        click.echo(f"the source's frames are unevenly spaced, those of the copy evenly: {off}", err=True)


_SOUND: Mapping[str, str] = {
    "kept": "sound: kept",
    "none": "sound: the source has none",
    "dropped": "sound: dropped; ffmpeg could not copy it into this file",
    "unknown": "sound: dropped, if there is any; install `ffmpeg` to have it copied",
}


def _report_colorized(result: "ColorizeResult", out: Path) -> None:
    """Counts and names; nothing on standard output where the picture goes there."""
    to_stderr = str(out) == "-"
    counts = f"{len(result.done):,} coloured, {len(result.skipped):,} there already, {len(result.failed):,} failed"
    click.echo(f"{counts}: {click.format_filename(out)}", err=to_stderr)
    if result.had_colour:
        click.echo(f"{len(result.had_colour):,} had colour: only their lightness was used", err=to_stderr)
    for path in result.first_frames:
        click.echo(f"{click.format_filename(path)}: only its first frame, or page, was coloured", err=to_stderr)
    for failure in result.failed:
        click.echo(f"{click.format_filename(failure.path)}: {failure.error}", err=True)


@cli.command()
@click.argument("photographs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Folder of a generator and a refiner.  [Recolor's own]")
@click.option("--pairs", type=click.IntRange(1, 500), default=20, help="Pairs to show.  [20]")
@click.option("--size-px", type=click.IntRange(64, 2048), default=384, help="Long side of the pictures.  [384]")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Which photographs, and in which order.  [0]")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("turing.html"), help="[turing.html]"
)
def turing(photographs: tuple[Path, ...], model: Path | None, out: Path, **options: Any) -> None:
    """Make a page that tests whether people can tell the model's colours from real ones.

    PHOTOGRAPHS are colour photographs, or folders of them, that the model was not trained on. Each is shown beside its
    own lightness coloured by the model. The page needs no server, and loads and sends nothing.
    """
    from recolor.colorize import Colorizer
    from recolor.evaluation.turing import make_turing

    colorizer = Colorizer.from_folder(model) if model else Colorizer.from_pretrained()
    made = make_turing(photographs, colorizer, out, **options)
    for skipped in made.skipped:
        click.echo(f"skipped: {skipped.name!r}: {skipped.why}", err=True)
    click.echo(f"{made.path} ({made.pairs:,} pairs, {made.size_bytes / 1e6:.1f} MB)")


@cli.command("export-models")
@workspace_option
@click.option("--float16", is_flag=True, help="Half the bytes; the weights are float32 again when they are loaded.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def export_models(workspace: Path, float16: bool, folder: Path) -> None:
    """Copy the trained models into DIR, without checkpoints and curves: what `recolor colorize --model DIR` needs."""
    from recolor.models.files import copy_model

    opened = open_workspace(workspace)
    folder = folder.expanduser()
    with locked(opened), storage_errors(folder):
        for name in ("generator", "refiner"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            copy_model(opened.models / name, folder / name, float16=float16)
    click.echo(folder)


@cli.command("export-onnx")
@click.option("--model", type=click.Path(path_type=Path), help="Folder with generator/ and refiner/.  [Recolor's own]")
@click.argument("out", metavar="OUT_FOLDER", type=click.Path(path_type=Path))
def export_onnx(model: Path | None, out: Path) -> None:
    """Write generator.onnx and refiner.onnx, for programs without torch; both are compared with torch first.

    generator.onnx: L and, if another than the model's is wanted, temperature to ab_small. refiner.onnx: L and ab_small
    to ab. Batch, height and width are free; what the sides must be multiples of stands in the files' metadata.
    """
    from recolor.models.onnx import check_packages, export_onnx

    check_packages()
    if model is None:
        from recolor.models.pretrained import models_folder

        model = models_folder()
    for file in export_onnx(model, out):
        click.echo(f"{file.path}  {file.size_bytes / 1e6:.1f} MB, at most {file.difference:.1g} ab units from torch")


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
@images_option
@workspace_option
@preset_option
@click.option("--port", type=click.IntRange(1, 65535), default=4200, help="Of the server and its UI.  [4200]")
def up(images: Path | None, workspace: Path, preset: str | None, port: int) -> None:
    """Start Prefect's server, a worker and all deployments, on this machine alone, until Ctrl-C.

    What is given here is what deployments start from: `prefect deployment run clean-and-train` needs no parameters
    then, and others can be given all the same.
    """
    _check_flows()
    arguments = ["--workspace", str(workspace), "--port", str(port)]
    for option, value in (("--images", images), ("--preset", preset)):
        arguments += [option, str(value)] if value is not None else []
    command = [sys.executable, "-m", "flows.up", *arguments]
    os.execve(sys.executable, command, {**_QUIET, **os.environ})  # noqa: S606 - in this process's place: no one is left


@cli.command()
def schemas() -> None:
    """Print every manifest's columns, as manifests/README.md has them."""
    from recolor.manifests.io import schema_markdown

    click.echo(schema_markdown(), nl=False)


def _run_stages(names: list[str] | None, target: Target) -> None:
    """Runs the named stages (or all) under the workspace's lock, and says what each did."""
    config = read_settings(target)
    from recolor.stages import STAGES, check_can_train, run_stages

    stages = {name: STAGES[name] for name in names or STAGES}
    if config.execution.runner == "dask" and {"measure", "shard"} & set(stages):
        raise ConfigError("execution.runner = 'dask': the flows alone run on a cluster. Use `recolor run --prefect`.")
    check_can_train(stages, config)
    workspace = open_workspace(target.workspace)
    with locked(workspace):
        images = target.images.expanduser() if target.images else remembered_images(workspace)
        for outcome in run_stages(stages, workspace, images, config):
            if outcome.stage == "index":
                remember_images(workspace, images)
            click.echo(describe(outcome))


def _say_metrics(target: Target) -> None:
    """Prints the table of a workspace's evaluation, and where its report is."""
    from recolor.evaluation import stored_text

    folder = open_workspace(target.workspace).evaluation
    click.echo(f"\n{stored_text(folder)}\n\n{folder / 'report.html'}")


def _suggest_look(target: Target) -> None:
    """Prints what temperatures and saturations come to on the val split, and which to take."""
    from recolor.evaluation import looks_text, suggest_looks

    click.echo(looks_text(suggest_looks(open_workspace(target.workspace), read_settings(target))))


def _suggest_thresholds(target: Target) -> None:
    """Prints what each threshold takes and what others would, and a better one where the data suggest it."""
    from recolor.cleaning.thresholds import suggest, suggestion_text

    click.echo("\n" + suggestion_text(suggest(open_workspace(target.workspace), read_settings(target))))


def _run_flow(target: Target) -> None:
    """Starts the flow as a program of its own: this package knows no Prefect."""
    read_settings(target)
    _check_flows()
    arguments = ["--workspace", str(target.workspace)]
    for option, value in (("--images", target.images), ("--preset", target.preset), ("--config", target.file)):
        arguments += [option, str(value)] if value is not None else []
    for word in target.words:
        arguments += ["--set", word]
    command = [sys.executable, "-m", "flows.clean_and_train", *arguments]
    with subprocess.Popen(command, env={**_QUIET, **os.environ}) as program:  # noqa: S603 - our own module
        try:
            code = program.wait()
        except KeyboardInterrupt:  # the terminal has told it too, and it says itself how it ends
            code = program.wait()
    if code:
        sys.exit(code)


def _check_flows() -> None:
    if importlib.util.find_spec("flows") is None:
        raise ConfigError("the package `flows` is not installed. Run from the project's folder.")


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
