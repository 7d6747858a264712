"""The parameters that all flows share, and the `Run` that is made from them."""

import logging
import shlex
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.artifacts import artifact_key, final_state, show_outcomes
from flows.dead_runs import end_dead_runs, hold_run
from flows.forms import Settings
from flows.plugin import watch_parent
from flows.runners import check_runner
from recolor.config.loading import setting_word
from recolor.config.presets import Preset
from recolor.config.settings import Config, ExecutionConfig
from recolor.errors import RecolorError, WorkspaceBusyError
from recolor.paths import expand_user
from recolor.pipeline.cache import Outcome, fingerprint
from recolor.pipeline.progress import LOGGER
from recolor.pipeline.remembered import (
    Given,
    remember_settings,
    restoring,
    reverted_lines,
    reverted_settings,
    workspace_config,
)
from recolor.pipeline.workspace import Workspace, image_folder, local_path, locked
from recolor.stages import CLEANING, settings_groups, timed, workspace_for

watch_parent()  # while a run's other modules load, and until it ends

T = TypeVar("T")

_POLL_EVERY_S = 1.0

ARGUMENTS = """
    Args:
        images: Folder of photographs. Default: the folder that was indexed last.
        workspace: Folder for manifests/ and data/.
        preset: Named settings to start from. Default: the workspace's recolor.toml.
        settings: Settings that differ from the preset's, such as {"blurry": {"threshold": 0.4}}.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The arguments of every task: folders and settings, never image data.

    Attributes:
        workspace: The workspace.
        given_images: The folder of photographs, absolute. None: the folder that was indexed last.
        config: All settings.
    """

    workspace: Workspace
    given_images: Path | None
    config: Config

    @property
    def images(self) -> Path:
        """The folder of photographs, absolute.

        Raises:
            InputError: None was given, and no folder has been indexed in this workspace.
        """
        return image_folder(self.workspace, self.given_images).absolute()


def settings_of(config: Config) -> Settings:
    """Returns all settings as the parameter `settings`.

    They override the preset and the workspace's recolor.toml.
    """
    return Settings(**asdict(config))


@contextmanager
def open_run(
    images: Path | None, workspace: Path, preset: Preset | None, settings: Settings, stages: Collection[str]
) -> Iterator[Run]:
    """Checks the settings, then locks the workspace while the flow runs; waits while another run has locked it.

    Also ends the runs of processes that were killed (see `flows.dead_runs`).

    Raises:
        ConfigError: A setting is not allowed, or the Dask cluster is not usable; nothing was started.
        InputError: There is no such workspace, and no stage makes it.
    """
    workspace = local_path(workspace, "workspace")
    images = None if images is None else local_path(images, "images")
    given = _given(preset, settings)
    config = workspace_config(Workspace(expand_user(workspace)), given)
    log_progress()
    if flow_run.id:
        hold_run(UUID(flow_run.id))
    with get_client(sync_client=True) as client:
        end_dead_runs(client)
    run = Run(workspace_for(stages, workspace), images and images.absolute(), config)
    with _locked_when_free(run.workspace):
        if flow_run.parent_flow_run_id is None:  # a flow inside a flow has the settings of that one
            _remember(run, given, stages)
        if config.execution.runner == "dask" and {"clean", "shard"} & set(stages):
            check_runner(config.execution, run.workspace, run.images)
        yield run


def log_progress() -> None:
    """Lets the log of the run have a line of progress every 30 seconds, unless `--quiet` was given."""
    logger = logging.getLogger(LOGGER)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def run_flow(name: str) -> Callable[[Callable[[Run], Outcome]], Flow[..., Outcome | State[Outcome]]]:
    """Returns a decorator that makes a stage's flow from a function of a `Run`.

    All flows have the same parameters. The flow ends in the state `Cached` if nothing had to be done. A table artifact
    counts the parts built and reused.
    """

    def as_flow(work: Callable[[Run], Outcome]) -> Flow[..., Outcome | State[Outcome]]:
        def called(
            images: Path | None = None,
            workspace: Path = Path(),
            preset: Preset | None = None,
            settings: Settings = Settings(),  # noqa: B008 - frozen, and the form's default in Prefect's UI
        ) -> Outcome | State[Outcome]:
            with open_run(images, workspace, preset, settings, [name]) as run:
                outcome = timed(partial(work, run))
            show_outcomes(artifact_key(run.workspace, f"{name}-parts"), [outcome])
            return final_state(outcome)

        called.__module__, called.__name__, called.__qualname__ = work.__module__, work.__name__, work.__name__
        called.__doc__ = f"{work.__doc__}\n{ARGUMENTS}"
        return named_flow(name)(called)

    return as_flow


def named_flow(name: str) -> Callable[[Callable[..., T]], Flow[..., T]]:
    """Returns a decorator that makes a flow.

    The names of its runs hold the data set and the key of the settings.
    """
    return partial(flow, name=name, flow_run_name=_run_name, validate_parameters=True)


def _run_name() -> str:
    """Returns a flow run's name, such as `clean · photos · 3f9a12c4`.

    Its parts are the stage, the data set and the key of the settings. The settings of `execution` are not part of the
    key: they do not change a result.
    """
    given: dict[str, Any] = flow_run.parameters
    workspace = Path(given.get("workspace") or ".")
    try:
        place = Workspace(expand_user(workspace).absolute())
        images = image_folder(place, Path(given["images"]) if given.get("images") else None)
        settings = Settings.model_validate(given.get("settings") or {})
        config = workspace_config(place, _given(given.get("preset"), settings))
    except RecolorError:  # raised again, and reported, when the flow starts
        return f"{flow_run.flow_name} · {workspace.absolute().name}"
    key = fingerprint(replace(config, execution=ExecutionConfig()))
    return f"{flow_run.flow_name} · {images.absolute().name} · {key[:8]}"


def _given(preset: Preset | None, settings: Settings) -> Given:
    return Given(preset, None, settings.model_dump(exclude_none=True), f"flow {flow_run.flow_name}")


def _remember(run: Run, given: Given, stages: Collection[str]) -> None:
    """Stores the settings of a run, and logs those that the last one was given and this one does not have."""
    groups = settings_groups(name for stage in stages for name in (CLEANING if stage == "clean" else (stage,)))
    if reverted := reverted_settings(run.workspace, groups, given):
        again = restoring(run.workspace, given, reverted, use_file=False)
        lines = "\n".join(reverted_lines(reverted, again))
        words = [f"preset={again.preset}"] if again.preset else []
        words += [setting_word(name, value) for name, value in again.settings.items()]
        parameters = shlex.join([part for word in words for part in ("-p", word)])
        get_run_logger().warning("%s\nThose of then: %s. This run goes on with those of now.", lines, parameters)
    remember_settings(run.workspace, run.config, groups, given)


@contextmanager
def _locked_when_free(workspace: Workspace) -> Iterator[None]:
    """Locks the workspace as soon as no other run has locked it."""
    with ExitStack() as held:
        logged = False
        while True:
            try:
                held.enter_context(locked(workspace))
                break
            except WorkspaceBusyError as busy:
                if not logged:
                    get_run_logger().info("%s This run waits for it.", str(busy).partition(" Wait for it")[0])
                logged = True
                time.sleep(_POLL_EVERY_S)
        yield
