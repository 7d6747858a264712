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
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import click

from recolor.cli.extras import require_packages
from recolor.cli.last_settings import save, say_reverted
from recolor.cli.options import (
    Target,
    UserPath,
    option,
    read_settings,
    run_options,
    stage_options,
)
from recolor.cli.output import output_arguments, width_chars
from recolor.cli.running import run_stages, settings_arguments
from recolor.config.settings import Config, Runner
from recolor.errors import ConfigError, InputError, StorageError
from recolor.paths import expand_user
from recolor.pipeline.storage import write_atomically
from recolor.pipeline.workspace import Workspace, locked, open_workspace

_USUAL_PORT = 4200
_ALL_SETTINGS = tuple(group.name for group in fields(Config) if group.name != "execution")
_PARENT = "RECOLOR_COMMAND"  # as in `flows.plugin`: the flow and its temporary server end with this process
# As [tool.prefect] in pyproject.toml, which says why; Prefect reads that in the project's folder only.
_SETTINGS: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_PLUGINS_ENABLED": "true",
    "PREFECT_PLUGINS_ALLOW": "recolor",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "recolor",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


@click.command()
@run_options
@option("--prefect", is_flag=True, help="Run as a Prefect flow. A temporary server is started if none is set.")
@option(
    "--runner",
    type=click.Choice(get_args(Runner)),
    help="Decode images in threads, processes or on a Dask cluster. dask needs --prefect.",
    show_default="auto",
)
@option(
    "--dask-address",
    metavar="ADDRESS",
    help="Use the Dask scheduler at this address, such as tcp://10.0.0.1:8786. Needed with --runner dask.",
)
def run(target: Target, prefect: bool, runner: str | None, dask_address: str | None) -> None:
    """Run the whole pipeline, from the folder to the report.

    On a Dask cluster, every worker must see the photographs and the workspace at the same paths.
    """
    given = {"runner": runner, "dask_address": dask_address}
    words = [f"execution.{name}={json.dumps(value)}" for name, value in given.items() if value is not None]
    target = replace(target, overrides=(*target.overrides, *words))
    if prefect and not target.dry_run:
        _run_flow(target)
    else:
        run_stages(None, target)


@click.command()
@option("--folder", metavar="DIR", type=UserPath(), default=Path("data/demo"), help="Write into this folder.")
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
    if prefect and not _is_current(target):
        _run_flow(target)
    else:
        run_stages(None, target)
    click.echo(demo_summary(workspace, folder / "truth.csv", width_chars()))


@click.command()
@stage_options
@option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Serve Prefect and its UI on this port.",
    show_default=str(_USUAL_PORT),
)
@option("--server", metavar="URL", help="Use an existing Prefect server.", show_default="a server of its own")
@option(
    "--pages-port",
    type=click.IntRange(1, 65535),
    help="Port at which this machine shows report, gallery and photographs.",
    show_default="a free port",
)
def up(target: Target, port: int | None, server: str | None, pages_port: int | None) -> None:
    """Start a Prefect server, a worker and all deployments.

    Everything runs on this machine until Ctrl-C. The folders given here become the defaults of the deployments, so
    that `prefect deployment run clean-and-train` needs no parameters. Settings given here are saved in the workspace's
    recolor.toml, which every run and every command reads. The server's files are in the workspace's .recolor/prefect,
    or in PREFECT_HOME if that is set. With --server, nothing of other projects is changed there.
    """
    if server is not None and port is not None:
        raise click.UsageError("--port is for a server that is started, and --server names one that exists.")
    read_settings(target)
    if target.images is not None and not target.images.is_dir():
        raise InputError(f"{target.images}: no such folder.")
    _check_flows()
    environment = {**_SETTINGS, **os.environ}
    if server is None:
        environment.setdefault("PREFECT_HOME", str(Workspace(target.workspace.absolute()).internal / "prefect"))
    _check_prefect_home(environment)
    say_reverted(target, _ALL_SETTINGS)
    if target.preset or target.file or target.overrides:
        save(target)
    target = replace(target, preset=None, file=None, overrides=())
    at = ["--port", str(port or _USUAL_PORT)] if server is None else ["--server", server]
    at += ["--pages-port", str(pages_port)] if pages_port is not None else []
    click.echo("Starting Prefect's server ..." if server is None else f"Connecting to {server} ...")
    command = [sys.executable, "-m", "flows.up", *_arguments(target), *at]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 - replaces this process by our own module


def _is_current(target: Target) -> bool:
    """Returns whether a run would do nothing, so that Prefect and its server need not be started, and says so."""
    from recolor.status import workspace_status

    if any(
        each.state != "current"
        for each in workspace_status(Workspace(target.workspace), target.images, read_settings(target))
    ):
        return False
    click.echo("Everything is up to date, so no flow is started.", err=True)
    return True


def _run_flow(target: Target) -> None:
    """Runs the flow in a subprocess, since this package does not import Prefect."""
    read_settings(target)
    _check_flows()
    say_reverted(target, _ALL_SETTINGS)
    if target.save:
        save(target)
    environment = {**_SETTINGS, **os.environ}
    if "PREFECT_API_URL" not in os.environ:  # a temporary server, with its database there
        _check_prefect_home(environment)
    environment[_PARENT] = str(os.getpid())
    command = [sys.executable, "-m", "flows.clean_and_train", *_arguments(target), *output_arguments()]
    with subprocess.Popen(command, env=environment) as program:  # noqa: S603 - our own module
        try:
            code = program.wait()
        except KeyboardInterrupt:  # the terminal interrupts the subprocess too, which reports the outcome
            code = program.wait()
    if code:
        sys.exit(code)


def _arguments(target: Target) -> list[str]:
    """Returns the options of the command line that give this target."""
    images = [] if target.images is None else ["--images", str(target.images)]
    return [*images, *settings_arguments(target)]


def _check_flows() -> None:
    if importlib.util.find_spec("flows") is None:
        raise ConfigError("the package `flows` is not installed. Run this command in Recolor's folder.")
    require_packages("Prefect flows", "prefect", "fastapi")


def _check_prefect_home(environment: Mapping[str, str]) -> None:
    """Checks that Prefect's folder can be written to, without importing Prefect, which would wait for minutes.

    Raises:
        StorageError: The folder cannot be made or written to.
    """
    home = expand_user(environment.get("PREFECT_HOME", "~/.prefect"))
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
