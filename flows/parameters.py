"""What every flow is told, as Prefect's parameter forms show it, and how it becomes a run."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.artifacts import show_outcomes, shown
from flows.forms import Settings
from flows.runners import check_runner
from recolor.config.loading import load_config, overlay
from recolor.config.presets import Preset
from recolor.config.settings import Config, ExecutionConfig
from recolor.errors import RecolorError, WorkspaceBusyError
from recolor.pipeline.cache import Outcome, fingerprint
from recolor.pipeline.workspace import Workspace, locked, open_workspace, refuse_url, remembered_images

T = TypeVar("T")

_LOOK_EVERY_S = 1.0

ARGUMENTS = """
    Args:
        images: Folder of photographs; without it, the one that was indexed last.
        workspace: Folder for manifests/ and data/.
        preset: Named settings to start from; without it, those of the workspace's recolor.toml.
        settings: Settings that differ from the preset's, such as {"blurry": {"threshold": 0.4}}.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What a task is given: places and settings, never data."""

    workspace: Workspace
    images: Path
    config: Config


def settings_of(config: Config) -> Settings:
    """All settings, filled in: a flow given these uses them, whatever its preset or the workspace's own file say."""
    return Settings(**asdict(config))


@contextmanager
def opened(images: Path | None, workspace: Path, preset: Preset | None, settings: Settings) -> Iterator[Run]:
    """Checks the settings, then holds the workspace for as long as the flow runs; waits while another run has it.

    Raises:
        ConfigError: A setting is not allowed, or a cluster cannot do the work; nothing was started.
    """
    refuse_url(workspace, "workspace")
    if images is not None:
        refuse_url(images, "images")
    config = _config(workspace, preset, settings)
    place = open_workspace(workspace)
    with _when_free(place):
        folder = _images(images, place)
        check_runner(config.execution, place, folder)
        yield Run(place, folder, config)


def run_flow(name: str) -> Callable[[Callable[[Run], Outcome]], Flow[..., Outcome | State[Outcome]]]:
    """Makes the flow of a stage from a function of a run; all have the same parameters and describe them.

    It ends as `Cached` if nothing had to be done, and says in a table what was built and what was reused.
    """

    def as_flow(work: Callable[[Run], Outcome]) -> Flow[..., Outcome | State[Outcome]]:
        def called(
            images: Path | None = None,
            workspace: Path = Path(),
            preset: Preset | None = None,
            settings: Settings = Settings(),  # noqa: B008 - frozen, and the form's default in Prefect's UI
        ) -> Outcome | State[Outcome]:
            with opened(images, workspace, preset, settings) as run:
                outcome = work(run)
            show_outcomes(f"{name}-parts", [outcome])
            return shown(outcome)

        called.__module__, called.__name__, called.__qualname__ = work.__module__, work.__name__, work.__name__
        called.__doc__ = f"{work.__doc__}\n{ARGUMENTS}"
        return named_flow(name)(called)

    return as_flow


def named_flow(name: str) -> Callable[[Callable[..., T]], Flow[..., T]]:
    """Makes a flow whose runs are called by their data set and the key of their settings."""
    return partial(flow, name=name, flow_run_name=_run_name, validate_parameters=True)


def _run_name() -> str:
    """A flow run's name, such as `clean · photos · 3f9a12c4`: stage, data set, key of all settings that count."""
    given: dict[str, Any] = flow_run.parameters
    workspace = Path(given.get("workspace") or ".")
    try:
        images = _images(Path(given["images"]) if given.get("images") else None, Workspace(workspace.absolute()))
        config = _config(workspace, given.get("preset"), Settings.model_validate(given.get("settings") or {}))
    except RecolorError:  # it is said when the flow begins
        return f"{flow_run.flow_name} · {workspace.absolute().name}"
    key = fingerprint(replace(config, execution=ExecutionConfig()))
    return f"{flow_run.flow_name} · {images.absolute().name} · {key[:8]}"


def _config(workspace: Path, preset: Preset | None, settings: Settings) -> Config:
    own = Workspace(workspace.expanduser()).settings_file
    base = load_config(preset, own if own.is_file() else None)
    return overlay(base, settings.model_dump(exclude_none=True))


def _images(images: Path | None, workspace: Workspace) -> Path:
    return images.expanduser().absolute() if images else remembered_images(workspace)


@contextmanager
def _when_free(workspace: Workspace) -> Iterator[None]:
    """Holds the workspace as soon as no other run does: two that were triggered queue up."""
    with ExitStack() as held:
        told = False
        while True:
            try:
                held.enter_context(locked(workspace))
                break
            except WorkspaceBusyError as busy:
                if not told:
                    get_run_logger().info("%s This run waits for it.", str(busy).partition(" Wait for it")[0])
                told = True
                time.sleep(_LOOK_EVERY_S)
        yield
