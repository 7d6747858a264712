"""The verbs that export the kept images, the trained models, and the models as ONNX."""

import sys
from pathlib import Path
from typing import Literal

import click

from recolor.cli.groups import VerbGroup
from recolor.cli.options import UserPath, images_option, model_option, option, workspace_option
from recolor.models.folders import check_both_models
from recolor.pipeline.storage import storage_errors
from recolor.pipeline.workspace import existing_workspace, image_folder, locked


@click.group(cls=VerbGroup)
def export() -> None:
    """Export the kept images, the models, or ONNX files."""


@export.command("images")
@images_option
@workspace_option
@option("--link", "mode", flag_value="link", default=None, help="Make symbolic links to the photographs.")
@option("--copy", "mode", flag_value="copy", help="Copy the photographs.")
@option("--by-split", is_flag=True, help="Put the images under train/, val/ and test/.")
@click.argument("folder", metavar="DIR", type=UserPath())
def export_images(
    images: Path | None, workspace: Path, mode: Literal["link", "copy"] | None, by_split: bool, folder: Path
) -> None:
    """Fill a folder with the kept images, as links or copies.

    Needs --link or --copy. The photographs themselves are not changed.

    A second run only writes what changed, and removes from DIR the files of an earlier export that are no longer kept.
    Other files in DIR are neither replaced nor removed. Images that cannot be exported are listed at the end; all
    others are exported, and the exit code is 1.
    """
    if mode is None:
        raise click.UsageError("Give --link or --copy.")
    from recolor.cleaning.export import export_clean

    opened = existing_workspace(workspace)
    with locked(opened):
        source = image_folder(opened, images)
        result = export_clean(opened, source, folder, mode, by_split=by_split)
    counts = f"{len(result.written):,} written, {len(result.current):,} there already, {len(result.removed):,} removed"
    click.echo(f"{counts}, {len(result.problems):,} not exported: {folder}")
    for path in result.removed:
        click.echo(f"removed, from an earlier export: {path!r}")
    for path in result.left:
        click.echo(f"left in place, from an earlier export but changed or the last copy: {path!r}", err=True)
    for problem in result.problems:
        click.echo(f"not exported: {problem.path!r}: {problem.why}", err=True)
    if result.problems:
        sys.exit(1)


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
