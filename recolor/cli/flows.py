"""The verbs that can start Prefect flows: run, demo and up.

Each flow runs in a separate process.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click

from recolor.cli.extras import require_packages
from recolor.cli.options import (
    Target,
    UserPath,
    images_option,
    option,
    preset_option,
    read_settings,
    stage_options,
    workspace_option,
)
from recolor.cli.running import run_stages
from recolor.config.settings import Runner
from recolor.errors import ConfigError, StorageError
from recolor.paths import expand_user
from recolor.pipeline.storage import write_atomically
from recolor.pipeline.workspace import locked, open_workspace


@click.command()
@stage_options
@option("--prefect", is_flag=True, help="Run as a Prefect flow. A temporary server is started if none is set.")
@option(
    "--runner",
    type=click.Choice(get_args(Runner)),
    help="Where images are decoded. dask needs --prefect.",
    show_default="auto",
)
@option(
    "--dask-address",
    metavar="ADDRESS",
    help="Address of the Dask scheduler, such as tcp://10.0.0.1:8786. Needed with --runner dask.",
)
def run(target: Target, prefect: bool, runner: str | None, dask_address: str | None) -> None:
    """Run the whole pipeline, from the folder to the report.

    On a Dask cluster, every worker must see the photographs and the workspace at the same paths.
    """
    given = {"runner": runner, "dask_address": dask_address}
    words = [f"execution.{name}={json.dumps(value)}" for name, value in given.items() if value is not None]
    target = replace(target, overrides=(*target.overrides, *words))
    if prefect:
        _run_flow(target)
    else:
        run_stages(None, target)


@click.command()
@option("--folder", metavar="DIR", type=UserPath(), default=Path("data/demo"), help="Folder to write.")
@option("--prefect/--no-prefect", default=True, help="Run as a Prefect flow, or in this process.")
def demo(folder: Path, prefect: bool) -> None:
    """Run everything on a small data set with known defects.

    Renders landscapes, plants defects, runs the pipeline, and compares what it found with the truth.
    """
    from recolor.demo import demo_summary, make_demo_images

    workspace = open_workspace(folder / "workspace")
    make_demo_images(folder / "images")
    with locked(workspace):
        write_atomically(workspace.settings_file, b'preset = "demo"\n')
    target = Target(folder / "images", workspace.root, None, None, ())
    if prefect:
        _run_flow(target)
    else:
        run_stages(None, target)
    click.echo(demo_summary(workspace, folder / "truth.csv"))


@click.command()
@images_option
@workspace_option
@preset_option
@option("--port", type=click.IntRange(1, 65535), default=4200, help="Port of the Prefect server and its UI.")
def up(images: Path | None, workspace: Path, preset: str | None, port: int) -> None:
    """Start a Prefect server, a worker and all deployments.

    Everything runs on this machine until Ctrl-C. The options given here become the defaults of the deployments, so
    that `prefect deployment run clean-and-train` needs no parameters.
    """
    _check_flows()
    _check_prefect_home()
    arguments = ["--workspace", str(workspace), "--port", str(port)]
    for name, value in (("--images", images), ("--preset", preset)):
        arguments += [name, str(value)] if value is not None else []
    command = [sys.executable, "-m", "flows.up", *arguments]
    os.execve(sys.executable, command, {**_QUIET, **os.environ})  # noqa: S606 - replaces this process by our own module


def _run_flow(target: Target) -> None:
    """Runs the flow in a subprocess, since this package does not import Prefect."""
    read_settings(target)
    _check_flows()
    if "PREFECT_API_URL" not in os.environ:  # a temporary server, with its database there
        _check_prefect_home()
    arguments = ["--workspace", str(target.workspace)]
    for name, value in (("--images", target.images), ("--preset", target.preset), ("--config", target.file)):
        arguments += [name, str(value)] if value is not None else []
    for override in target.overrides:
        arguments += ["--set", override]
    command = [sys.executable, "-m", "flows.clean_and_train", *arguments]
    with subprocess.Popen(command, env={**_QUIET, **os.environ}) as program:  # noqa: S603 - our own module
        try:
            code = program.wait()
        except KeyboardInterrupt:  # the terminal interrupts the subprocess too, which reports the outcome
            code = program.wait()
    if code:
        sys.exit(code)


def _check_flows() -> None:
    if importlib.util.find_spec("flows") is None:
        raise ConfigError("the package `flows` is not installed. Run this command in Recolor's folder.")
    require_packages("Prefect flows", "prefect", "fastapi")


def _check_prefect_home() -> None:
    """Checks that Prefect's folder can be written to, without importing Prefect, which would wait for minutes.

    Raises:
        StorageError: The folder cannot be made or written to.
    """
    home = expand_user(os.environ.get("PREFECT_HOME", "~/.prefect"))
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise StorageError(
            f"{home}: Prefect keeps its database here, but the folder cannot be written to ({error.strerror}). Set"
            " PREFECT_HOME to a folder that can, or run without Prefect: `recolor run` without --prefect, `recolor demo"
            " --no-prefect`."
        ) from error


# Prefect sends no telemetry, and its temporary server has enough time to start on a slow machine.
_QUIET: Mapping[str, str] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
