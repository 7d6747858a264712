"""Runs `detect` and `select` in the background, and tells what they changed."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recolor.config.reference import Value
from recolor.errors import InputError, RecolorError, WorkspaceBusyError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import CLEAN
from recolor.pipeline.remembered import Given, save_settings, workspace_config
from recolor.pipeline.workspace import Workspace
from recolor.stages import run_stages

_MOST_SHOWN = 60
_COMMAND = "recolor app"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a run changed.

    Attributes:
        kept: Number of images that are kept now.
        kept_before: Number of images that were kept before; None if nothing had been selected.
        newly_kept: Images that are kept now and were not; at most 60.
        newly_rejected: Images that are rejected now and were kept; at most 60.
        all_newly_kept: Number of all images that are kept now and were not.
        all_newly_rejected: Number of all images that are rejected now and were kept.
        saved: Settings that were written into the workspace's recolor.toml, by dotted name.
    """

    kept: int
    kept_before: int | None
    newly_kept: tuple[str, ...]
    newly_rejected: tuple[str, ...]
    all_newly_kept: int
    all_newly_rejected: int
    saved: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Job:
    """The last run: whether it still runs, its error, or what it changed."""

    state: Literal["none", "running", "failed", "done"] = "none"
    error: str = ""
    applied: Applied | None = None


class Applier:
    """Applies limits and decisions to a workspace, one run at a time."""

    def __init__(self, workspace: Workspace, images: Path | None) -> None:
        self._workspace, self._images = workspace, images
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.job = Job()

    def start(self, settings: Mapping[str, Mapping[str, Value]]) -> None:
        """Starts a run: it saves the settings in the workspace's recolor.toml, then detects and selects.

        Args:
            settings: Values of single settings, by group and name.

        Raises:
            ConfigError: A setting is not allowed; nothing was started.
            WorkspaceBusyError: The last run has not ended.
        """
        changes: dict[str, Any] = {group: dict(values) for group, values in settings.items()}
        given = Given(changes=changes, command=_COMMAND)
        workspace_config(self._workspace, given)
        with self._lock:
            if self.job.state == "running":
                raise WorkspaceBusyError("the last changes are still being applied. Wait until they are.")
            self.job = Job("running")
            self._thread = threading.Thread(target=self._run, args=(given,), name="apply", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Waits until the last run has ended."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, given: Given) -> None:
        try:
            self.job = Job("done", applied=apply_changes(self._workspace, self._images, given))
        except RecolorError as error:
            self.job = Job("failed", error=str(error))
        finally:
            if self.job.state == "running":  # an error that is not expected, which ends up in the log
                self.job = Job("failed", error="the run ended with an error that is not expected; see the terminal.")


def apply_changes(workspace: Workspace, images: Path | None, given: Given) -> Applied:
    """Saves settings, runs `detect` and `select`, and returns what changed.

    Args:
        workspace: A workspace whose images are measured.
        images: The image folder; None: the one that was indexed last.
        given: The settings that are changed.

    Raises:
        RecolorError: A setting is not allowed, another run uses the workspace, or all images would be rejected. With
            the last, the settings are saved and the issues detected.
    """
    before = _kept(workspace)
    config = workspace_config(workspace, given)
    saved = save_settings(workspace, given)
    run_stages(images, workspace.root, config, ("detect", "select"), given=Given(command=_COMMAND))
    after = _kept(workspace)
    if after is None:
        raise InputError(f"{workspace.manifest('clean')}: cannot be read after the run.")
    newly_kept, newly_rejected = sorted(after - (before or set())), sorted((before or set()) - after)
    return Applied(
        kept=len(after),
        kept_before=None if before is None else len(before),
        newly_kept=tuple(newly_kept[:_MOST_SHOWN]),
        newly_rejected=tuple(newly_rejected[:_MOST_SHOWN]),
        all_newly_kept=len(newly_kept),
        all_newly_rejected=len(newly_rejected),
        saved=saved,
    )


def _kept(workspace: Workspace) -> set[str] | None:
    """Returns the paths of the kept images; None if nothing has been selected."""
    manifest = workspace.manifest("clean")
    return set(read_table(CLEAN, manifest, ["path"])["path"].to_pylist()) if manifest.is_file() else None
