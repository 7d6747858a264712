"""The verb that colours photographs and videos."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor.cli.extras import require_packages
from recolor.cli.options import UserPath, look_option, model_option, option
from recolor.colorize.look import LOOKS, Look
from recolor.config.settings import LARGEST_PIXELS, ColorizeDevice, MeasureConfig
from recolor.errors import DAMAGE, ConfigError, ImageError, InputError, RecolorError, WorkspaceBusyError
from recolor.manifests.names import shown
from recolor.models.folders import check_both_models
from recolor.pipeline.inputs import check_inputs

if TYPE_CHECKING:
    from recolor.colorize import Colorizer, ColorizeResult
    from recolor.colorize.plan import Job


def _default(usual: str, of_looks: Mapping[str, float]) -> str:
    return "; ".join([usual, ", ".join(f"{value:g} with --look {name}" for name, value in of_looks.items())])


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=UserPath())
@click.argument("out", type=UserPath())
@model_option
@option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Run the models on this device."
)
@look_option
@option(
    "--saturation",
    type=float,
    help="Multiply the colour by this factor. 0 gives grey.",
    show_default=_default("1", {name: look.saturation for name, look in LOOKS.items() if look.saturation != 1}),
)
@option(
    "--temperature",
    type=float,
    help="Set the boldness of the colour, above 0 to 1. Lower is bolder.",
    show_default=_default(
        "the model's own", {name: look.temperature for name, look in LOOKS.items() if look.temperature is not None}
    ),
)
@option(
    "--batch",
    type=click.IntRange(min=1),
    help="Colour this number of photographs together.",
    show_default="1; on CUDA 16",
)
@option("--overwrite", is_flag=True, help="Colour again what is already in OUT.")
@option("--compare", is_flag=True, help="Also write NAME.compare.jpg: before and after, side by side.")
@option("--quality", type=click.IntRange(1, 100), default=95, help="Write JPEG and WebP files in this quality.")
@option("--lenient", is_flag=True, help="Also colour what is left of damaged JPEG, PNG and BMP files.")
@option(
    "--max-pixels",
    type=click.IntRange(1, LARGEST_PIXELS),
    default=MeasureConfig().max_pixels,
    help="Decode photographs of at most this number of pixels.",
)
@option("--videos", is_flag=True, help="Also colour the videos in folders and those that match patterns.")
@option("--smoothing", type=float, default=0.8, help="Smooth a video's colour over time, from 0 (off) to below 1.")
@option(
    "--crf",
    type=click.IntRange(0, 63),
    help="Write videos with this constant rate factor. Lower is better and larger.",
    show_default="18; 24 for .webm",
)
@option(
    "--format",
    "file_format",
    type=click.Choice(["png", "jpeg", "webp", "tiff"]),
    help="Write this file format to standard output.",
    show_default="the format of INPUT",
)
def colorize(
    inputs: tuple[Path, ...],
    out: Path,
    *,
    model: Path | None,
    device: ColorizeDevice,
    look: str,
    saturation: float | None,
    temperature: float | None,
    batch: int | None,
    file_format: str | None,
    videos: bool,
    smoothing: float,
    crf: int | None,
    max_pixels: int,
    **options: Any,
) -> None:
    """Colour photographs and videos at full size.

    INPUTS are files, folders, or quoted patterns such as "old/**/*.jpg". OUT is a folder, in which the folder structure
    of the inputs is kept. For a single photograph or video, OUT may also be a file name such as new.png or new.mp4. As
    an input, `-` is standard input; as OUT, standard output. What folders hold beside photographs is counted by kind.

    Each photograph keeps its own lightness. JPEG, PNG, WebP, TIFF and BMP keep their format; other formats become PNG.
    16 bits, transparency, EXIF, ICC profile and resolution are kept, and the EXIF rotation is applied. A second run
    only colours what is missing. Files that cannot be coloured are listed at the end; all others are coloured, and the
    exit code is 1.

    Videos need the package `av`: pip install 'recolor[video]'. They are written as .mp4, .m4v, .mov, .mkv, .webm or
    .avi. Frames keep their times and shape; sounds, subtitles, chapters and tags are copied, and what cannot be kept is
    named. An interrupted run goes on where it stopped. Videos in folders are taken with --videos.
    """
    named = Look.named(look)
    chosen = replace(
        named,
        saturation=named.saturation if saturation is None else saturation,
        temperature=named.temperature if temperature is None else temperature,
    )
    if model:
        check_both_models(model)
    check_inputs(inputs)
    from recolor.colorize.plan import make_plan

    plan = make_plan(inputs, out, compare=options["compare"], videos=videos)
    if plan.videos:
        require_packages("colouring a video", "av")
    from recolor.colorize import Colorizer, colorize_paths  # these load torch, which takes seconds

    colorizer = Colorizer.from_folder(model, device) if model else Colorizer.from_pretrained(device)
    failed = False
    if plan.jobs or not plan.videos:
        wanted: Any = file_format and file_format.upper()
        limits = MeasureConfig(max_pixels=max_pixels)
        result = colorize_paths(
            inputs,
            out,
            colorizer,
            look=chosen,
            batch_images=batch,
            file_format=wanted,
            limits=limits,
            plan=plan,
            **options,
        )
        _report_colorized(result, out)
        if not videos and plan.passed_over.videos:
            click.echo("videos in folders are coloured with --videos")
        failed = bool(result.failed)
    elif passed_over := str(plan.passed_over):
        click.echo(passed_over)
    given = {"look": chosen, "smoothing": smoothing, "crf": crf, "overwrite": options["overwrite"], "batch": batch or 1}
    for job in plan.videos:
        failed = not _colorize_video(job, colorizer, alone=len(plan.videos) == 1 and not plan.jobs, **given) or failed
    if failed:
        sys.exit(1)


def _colorize_video(job: "Job", colorizer: "Colorizer", *, alone: bool, **options: Any) -> bool:
    """Colours a video and prints the outcome, including that of the sound.

    Returns:
        Whether it was coloured. The errors of a video that is coloured alone, and those of the disk, are raised.
    """
    from recolor.colorize.video import colorize_video

    name = shown(job.target)
    try:
        result = colorize_video(job.source, job.target, colorizer, **options)
    except (InputError, ConfigError, WorkspaceBusyError) as error:
        if alone:
            raise
        click.echo(str(error), err=True)
        return False
    if result is None:
        click.echo(f"there already: {name}")
        return True
    click.echo(f"{result.frames:,} frames, {result.length_s:.1f} s at {result.fps:g} frames/s: {name}")
    click.echo(
        f"flicker of still areas: {result.flicker_after:.2f} ab units a frame,"
        f" {result.flicker_before:.2f} without smoothing"
    )
    click.echo(_SOUND[result.audio])
    if result.reused:
        click.echo(f"{result.reused:,} of the frames were coloured by an earlier run")
    for note in result.notes:
        click.echo(f"{name}: {note}", err=True)
    if result.missing:
        click.echo(
            f"{name}: {result.missing:,} more frames are announced by the source but could not be read", err=True
        )
    if result.drift_s:
        shift = f"by up to {result.drift_s:.2f} s"
        click.echo(f"{name}: the source's frames are unevenly spaced; even spacing shifts frames {shift}", err=True)
    return True


_SOUND: Mapping[str, str] = {
    "kept": "sound: kept",
    "none": "sound: the source has none",
    "encoded": "sound: kept, encoded again for this kind of file",
    "dropped": "sound: not all could be kept",
}


def _report_colorized(result: "ColorizeResult", out: Path) -> None:
    """Prints counts and file names; on standard error if standard output contains the picture."""
    to_stderr = str(out) == "-"
    counts = f"{len(result.done):,} coloured, {len(result.skipped):,} there already, {len(result.failed):,} failed"
    click.echo(f"{counts}: {shown(out)}", err=to_stderr)
    if result.had_colour:
        click.echo(f"{len(result.had_colour):,} had colour: only their lightness was used", err=to_stderr)
    for path in result.first_frames:
        click.echo(f"{shown(path)}: only its first frame, or page, was coloured", err=to_stderr)
    for path, target in result.renamed:
        click.echo(
            f"{shown(path)}: written as {shown(target)}, because its usual name is taken or too long", err=to_stderr
        )
    if result.passed_over:
        click.echo(result.passed_over, err=to_stderr)
    for note in result.notes:
        click.echo(f"{shown(note.path)}: coloured, but {note.note}", err=True)
    for note in result.dropped:
        click.echo(f"{shown(note.path)}: coloured, without {note.note}", err=True)
    for failure in result.failed:
        click.echo(f"{shown(failure.path)}: {failure.error}{_remedy(failure.error)}", err=True)


def _remedy(error: RecolorError) -> str:
    """Returns the option with which the file can be coloured, or nothing."""
    if not isinstance(error, ImageError):
        return ""
    if error.reason in DAMAGE:
        return ". Colour what is left of it with --lenient."
    return ". Colour it with --max-pixels." if error.reason == "too_many_pixels" else ""
