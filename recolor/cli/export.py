"""The verbs that export the kept images, the trained models, and the models as ONNX."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from recolor.cli.extras import require_packages
from recolor.cli.groups import VerbGroup
from recolor.cli.options import UserPath, images_option, model_option, option, workspace_option
from recolor.models.folders import check_both_models
from recolor.pipeline.storage import storage_errors
from recolor.pipeline.workspace import Workspace, existing_workspace, image_folder, locked

if TYPE_CHECKING:
    from recolor.cleaning.export import ExportResult


@click.group(cls=VerbGroup)
def export() -> None:
    """Export the kept images, the models, or ONNX files."""


@export.command("images")
@images_option
@workspace_option
@option("--link", is_flag=True, help="Make symbolic links to the photographs.")
@option("--copy", is_flag=True, help="Copy the photographs.")
@option("--by-split", is_flag=True, help="Put the images under train/, val/ and test/.")
@option(
    "--format",
    "layout",
    type=click.Choice(["files", "webdataset", "hf"]),
    default="files",
    help="The images under their own paths, tar shards for webdataset, or an imagefolder for Hugging Face datasets.",
)
@option("--list", "listed", is_flag=True, help="Name every file that was removed, left or not exported.")
@click.argument("folder", metavar="DIR", type=UserPath())
def export_images(
    *,
    images: Path | None,
    workspace: Path,
    link: bool,
    copy: bool,
    by_split: bool,
    layout: Literal["files", "webdataset", "hf"],
    listed: bool,
    folder: Path,
) -> None:
    """Fill a folder with the kept images: links, copies or tar shards.

    Needs --link or --copy, except for tar shards, which hold copies. The photographs themselves are not changed.

    A second run only writes what changed, and removes from DIR the files of an earlier export that are no longer kept.
    Other files in DIR are neither replaced nor removed. If images cannot be exported, the others are, and the exit code
    is 1.
    """
    mode = _mode(link, copy, layout)
    opened = existing_workspace(workspace)
    with locked(opened):
        result = _export(opened, image_folder(opened, images), folder, layout, mode, by_split=by_split)
    what = "shards: " if layout == "webdataset" else ""
    counts = f"{len(result.written):,} written, {len(result.current):,} there already, {len(result.removed):,} removed"
    click.echo(f"{what}{counts}, {len(result.problems):,} not exported: {folder}")
    if listed:
        for path in result.removed:
            click.echo(f"removed, from an earlier export: {path!r}")
    left = [f"{path!r}: from an earlier export, but changed or the last copy" for path in result.left]
    _name("left in place", left, listed)
    _name("not exported", [f"{problem.path!r}: {problem.why}" for problem in result.problems], listed)
    if result.problems:
        sys.exit(1)


def _mode(link: bool, copy: bool, layout: str) -> Literal["link", "copy"]:
    if link and copy:
        raise click.UsageError("--link and --copy exclude each other. Give one of them.")
    if layout == "webdataset":
        if link:
            raise click.UsageError("Tar shards hold copies. Leave out --link, or give another --format.")
        return "copy"
    if not link and not copy:
        raise click.UsageError("Give --link or --copy.")
    return "link" if link else "copy"


def _export(
    workspace: Workspace, images: Path, out: Path, layout: str, mode: Literal["link", "copy"], *, by_split: bool
) -> "ExportResult":
    if layout == "webdataset":
        require_packages("--format webdataset", "webdataset")
        from recolor.cleaning.tar_shards import export_tar_shards

        return export_tar_shards(workspace, images, out)
    if layout == "hf":
        from recolor.cleaning.imagefolder import export_imagefolder

        return export_imagefolder(workspace, images, out, mode)
    from recolor.cleaning.export import export_clean

    return export_clean(workspace, images, out, mode, by_split=by_split)


def _name(what: str, lines: Sequence[str], listed: bool) -> None:
    """Prints all lines on standard error, or the first and how many there are."""
    for line in lines if listed else lines[:1]:
        click.echo(f"{what}: {line}", err=True)
    if len(lines) > 1 and not listed:
        click.echo(f"{what}: {len(lines) - 1:,} more; --list names all", err=True)


@export.command("models")
@workspace_option
@option("--float16", is_flag=True, help="Store weights in 16 bits, in half the bytes. Loading makes them float32.")
@click.argument("folder", metavar="DIR", type=UserPath())
def export_models(workspace: Path, float16: bool, folder: Path) -> None:
    """Copy the trained models without their checkpoints.

    DIR then holds the files that `recolor colorize --model DIR` needs.
    """
    opened = existing_workspace(workspace)
    check_both_models(opened.models)
    from recolor.models.files import copy_model

    with locked(opened), storage_errors(folder):
        for name in ("generator", "refiner"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            copy_model(opened.models / name, folder / name, float16=float16)
    click.echo(folder)


@export.command("onnx")
@model_option
@click.argument("out", metavar="DIR", type=UserPath())
def export_onnx(model: Path | None, out: Path) -> None:
    """Write both models as ONNX, for programs without torch.

    generator.onnx computes ab_small from L and, optionally, a temperature. refiner.onnx computes ab from L and
    ab_small. Batch size, height and width are free; the metadata of each file states the number that height and width
    must be multiples of. The outputs of both files are compared with those of torch before they are written.
    """
    if model:
        check_both_models(model)
    from recolor.models.onnx import check_packages
    from recolor.models.onnx import export_onnx as write_onnx

    check_packages()
    if model is None:
        from recolor.models.pretrained import models_folder

        model = models_folder()
    for file in write_onnx(model, out):
        click.echo(f"{file.path}  {file.size_bytes / 1e6:.1f} MB, at most {file.difference:.1g} ab units from torch")
