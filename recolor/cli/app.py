"""The verb that serves the page for colouring and deciding."""

from contextlib import suppress
from pathlib import Path

import click

from recolor.cli.extras import require_packages
from recolor.cli.options import UserPath, images_option, model_option, option
from recolor.config.settings import ColorizeDevice
from recolor.models.folders import check_both_models
from recolor.pipeline.workspace import INTERNAL_FOLDER, Workspace, existing_workspace


@click.command()
@option(
    "--workspace",
    metavar="DIR",
    type=UserPath(),
    help="Decide about the outliers of this workspace.",
    show_default="this folder, if it is a workspace",
)
@images_option
@model_option
@option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Run the models on this device."
)
@option(
    "--host",
    default="127.0.0.1",
    help="Listen on this address. 0.0.0.0 lets other devices in the network use the page, with the link that is shown.",
)
@option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Listen on this port.",
    show_default="8710, or any free one if that is in use",
)
@option("--no-browser", is_flag=True, help="Do not open the page in a browser.")
def app(
    *,
    workspace: Path | None,
    images: Path | None,
    model: Path | None,
    device: ColorizeDevice,
    host: str,
    port: int | None,
    no_browser: bool,
) -> None:
    """Colour photographs, and decide about outliers, in a browser.

    On the page Colour, photographs are dropped, looked at before and after, and downloaded at full size. On the page
    Decide, the outliers of a workspace are kept or rejected; decisions are written to manifests/decisions.csv at once.

    The page is served by this machine, and nothing leaves it.
    """
    require_packages("`recolor app`", "fastapi", "uvicorn")
    if model:
        check_both_models(model)
    from recolor.app.server import AppOptions, serve

    options = AppOptions(
        workspace=_workspace(workspace),
        images=images,
        model=model,
        device=device,
        host=host,
        port=port,
        opens_browser=not no_browser,
    )
    with suppress(KeyboardInterrupt):  # which does not come where SIGINT is ignored, as in the background of a script
        serve(options, click.echo)
    click.echo("\nstopped")


def _workspace(given: Path | None) -> Workspace | None:
    """Returns the workspace that was given, or this folder if it is one."""
    if given is not None:
        return existing_workspace(given)
    return Workspace(Path.cwd()) if Path(INTERNAL_FOLDER).is_dir() else None
