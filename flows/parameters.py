"""What every flow is told, as Prefect's parameter forms show it, and how it becomes a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from prefect import Flow, flow
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, create_model

from flows.runners import check_runner
from recolor.config import Config
from recolor.presets import Preset
from recolor.settings import load_config, overlay
from recolor.workspace import Workspace, locked, open_workspace, refuse_url, remembered_images

T = TypeVar("T")

_ARGUMENTS = """
    Args:
        images: Folder of photographs; without it, the one that was indexed last.
        workspace: Folder for manifests/ and data/.
        preset: Named settings to start from.
        settings: Settings that differ from the preset's, such as {"blurry": {"threshold": 0.4}}.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What a task is given: places and settings, never data."""

    workspace: Workspace
    images: Path
    config: Config


def _changes_of(config: type) -> type[BaseModel]:
    """A form of the same fields and limits, all optional: what is not given stays as the preset has it."""
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(config, include_extras=True).items():
        fields[name] = ((_changes_of(hint) if isinstance(hint, type) and is_dataclass(hint) else hint) | None, None)
    form: type[BaseModel] = create_model(
        config.__name__.removesuffix("Config") + "Settings",
        __config__=ConfigDict(extra="forbid", frozen=True),
        __doc__=config.__doc__,
        **fields,
    )
    return form


if TYPE_CHECKING:

    class Settings(BaseModel):
        """Settings that differ from the preset's; the form is made from `Config`."""
else:
    Settings = _changes_of(Config)


def settings_of(config: Config) -> Settings:
    """All settings, filled in: a flow given these uses them, whatever its preset or the workspace's own file say."""
    return Settings(**asdict(config))


@contextmanager
def opened(images: Path | None, workspace: Path, preset: Preset | None, settings: Settings) -> Iterator[Run]:
    """Checks the settings, then holds the workspace for as long as the flow runs.

    Raises:
        ConfigError: A setting is not allowed, or a cluster cannot do the work; nothing was started.
        WorkspaceBusyError: Another run holds the workspace.
    """
    refuse_url(workspace, "workspace")
    if images is not None:
        refuse_url(images, "images")
    own = Workspace(workspace.expanduser()).settings_file
    base = load_config(preset, own if own.is_file() else None)
    config = overlay(base, settings.model_dump(exclude_none=True))
    place = open_workspace(workspace)
    with locked(place):
        folder = images.expanduser().absolute() if images else remembered_images(place)
        check_runner(config.execution, place, folder)
        yield Run(place, folder, config)


def run_flow(name: str) -> Callable[[Callable[[Run], T]], Flow[..., T]]:
    """Makes a flow of that name from a function of a run; every flow has the same parameters and describes them."""

    def as_flow(work: Callable[[Run], T]) -> Flow[..., T]:
        def called(
            images: Path | None = None,
            workspace: Path = Path(),
            preset: Preset | None = None,
            settings: Settings = Settings(),  # noqa: B008 - frozen, and the form's default in Prefect's UI
        ) -> T:
            with opened(images, workspace, preset, settings) as run:
                return work(run)

        called.__module__, called.__name__, called.__qualname__ = work.__module__, work.__name__, work.__name__
        called.__doc__ = f"{work.__doc__}\n{_ARGUMENTS}"
        return flow(name=name, flow_run_name=_run_name, validate_parameters=True)(called)

    return as_flow


def _run_name() -> str:
    """A flow run's name: which stage, on which workspace."""
    workspace = Path(str(flow_run.parameters.get("workspace", "."))).absolute()
    return f"{flow_run.flow_name} · {workspace.name}"
