"""Artifacts and final states of runs in Prefect's UI.

Artifacts are the progress of long stages, tables of outcomes, and pictures.
"""

import base64
import contextvars
import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from httpx import HTTPError
from PIL import Image
from prefect.artifacts import (
    create_image_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.states import Completed
from slugify import slugify

from recolor.pipeline.cache import Outcome
from recolor.pipeline.workspace import Workspace
from recolor.stages import DeviceStage
from recolor.training.progress import TrainingStatus, delete_status, read_status

UPDATE_EVERY_S = 3.0  # an update costs the server as much as a task does
_PICTURE_BYTES = 400_000  # maximum: the server keeps the picture in its database


def final_state(outcome: Outcome) -> Outcome | State[Outcome]:
    """Returns the final state of a task or flow: `Cached` if nothing had to be done.

    Otherwise returns the outcome itself.
    """
    if outcome.current:
        parts = f"all {outcome.reused} parts" if outcome.reused != 1 else "its one part"
        return Completed(name="Cached", message=f"{outcome.stage}: {parts} reused", data=outcome)
    return outcome


def final_state_of_all(outcomes: list[Outcome]) -> list[Outcome] | State[list[Outcome]]:
    """Returns the final state of a flow of stages: `Cached` if none had anything to do.

    Otherwise returns the outcomes themselves.
    """
    if all(outcome.current for outcome in outcomes):
        reused = sum(outcome.reused for outcome in outcomes)
        return Completed(name="Cached", message=f"all {reused} parts of {len(outcomes)} stages reused", data=outcomes)
    return outcomes


def artifact_key(workspace: Workspace, name: str) -> str:
    """Returns the key of an artifact: the workspace's name and that of the artifact, such as `holidays-outliers`.

    Prefect keeps the versions of an artifact under its key, and a server may have runs of several workspaces.
    """
    return f"{slugify(workspace.root.name) or 'workspace'}-{name}"


class Progress:
    """A progress artifact of a run: the percentage done, and a text.

    If the server does not answer, the update is skipped with a warning and the work continues.

    Args:
        key: Key of the artifact.
        what: What is counted, for the description.
    """

    def __init__(self, key: str, what: str) -> None:
        self._what, self._shown_at_s, self._log = what, time.monotonic(), get_run_logger()
        artifact = create_progress_artifact(0.0, key=key, description=what)
        assert isinstance(artifact, UUID)  # a coroutine only inside an event loop
        self._artifact = artifact

    def show(self, share: float, more: str = "", *, at_once: bool = False) -> None:
        """Updates the artifact, at most every three seconds.

        Args:
            share: Share of the work that is done, 0 to 1.
            more: More text for the description.
            at_once: Update even if the last update is less than three seconds old.
        """
        now_s = time.monotonic()
        if now_s - self._shown_at_s < UPDATE_EVERY_S and not at_once:
            return
        self._shown_at_s = now_s
        try:
            update_progress_artifact(self._artifact, 100.0 * share, f"{self._what}. {more}" if more else self._what)
        except (HTTPError, PrefectException, RuntimeError) as error:  # RuntimeError: no connection
            self._log.warning("%s: the progress could not be updated (%s); the work continues.", self._what, error)


@contextmanager
def training_progress(workspace: Workspace, stage: DeviceStage) -> Iterator[None]:
    """Shows the progress of a training while the context is open.

    The training may run in any process of this machine.

    Args:
        workspace: The workspace.
        stage: Name of the stage.
    """
    folder = workspace.models / stage.removeprefix("train-")
    delete_status(folder)  # left by a killed run
    key = artifact_key(workspace, f"{stage}-progress")
    progress, ended = Progress(key, f"{stage}: steps done"), threading.Event()
    last: list[TrainingStatus] = []

    def watch() -> None:
        while not ended.wait(UPDATE_EVERY_S):
            if status := read_status(folder):
                last[:] = [status]
                progress.show(status.step / status.steps, _status_text(status), at_once=True)

    context = contextvars.copy_context()  # it holds Prefect's settings and client
    watcher = threading.Thread(target=context.run, args=[watch], name=f"{stage} progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    progress.show(1.0, f"All are done. {_status_text(last[0]) if last else ''}".strip(), at_once=True)


def show_outcomes(key: str, outcomes: Sequence[Outcome]) -> None:
    """Makes a table artifact of the parts that each stage built and reused."""
    rows = [
        {
            "stage": outcome.stage,
            "state": "Cached" if outcome.current else "Completed",
            "parts built": outcome.built,
            "parts reused": outcome.reused,
            "wall time (s)": outcome.seconds_s,
            "counts": ", ".join(f"{name} {count:,}" for name, count in outcome.counts.items()),
        }
        for outcome in outcomes
    ]
    built, reused = (sum(numbers) for numbers in zip(*[(each.built, each.reused) for each in outcomes], strict=True))
    create_table_artifact(table=rows, key=key, description=f"{built:,} parts built, {reused:,} reused")


def show_picture(key: str, file: Path, description: str) -> None:
    """Makes an image artifact that holds the picture itself.

    A browser does not open local files from a web page.
    """
    with Image.open(file) as picture:
        data = _small_jpeg(picture.convert("RGB"))
    create_image_artifact(f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", key, description)


def _small_jpeg(picture: Image.Image) -> bytes:
    while True:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        if len(data := file.getvalue()) <= _PICTURE_BYTES:
            return data
        picture = picture.reduce(2)


def _status_text(status: TrainingStatus) -> str:
    loss = "" if status.loss is None else f", loss {status.loss:.4g}"
    return f"Step {status.step:,} of {status.steps:,}{loss}, {status.images_per_s:,.0f} images/s"
