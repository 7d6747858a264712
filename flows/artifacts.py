"""What a run shows in Prefect's UI: how far a long stage is, what each stage did, pictures."""

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

from recolor.pipeline.cache import Outcome
from recolor.training.status import TrainingStatus, drop_status, read_status

SHOW_EVERY_S = 3.0  # each time costs the server as much as a task does
_PICTURE_BYTES = 400_000  # the server keeps it in its database


def shown(outcome: Outcome) -> Outcome | State[Outcome]:
    """The outcome as a task or a stage's flow should end: `Cached` if nothing had to be done."""
    if outcome.current:
        parts = f"all {outcome.reused} parts" if outcome.reused != 1 else "its one part"
        return Completed(name="Cached", message=f"{outcome.stage}: {parts} reused", data=outcome)
    return outcome


def shown_together(outcomes: list[Outcome]) -> list[Outcome] | State[list[Outcome]]:
    """The same of several stages: `Cached` if none of them had anything to do."""
    if all(outcome.current for outcome in outcomes):
        reused = sum(outcome.reused for outcome in outcomes)
        return Completed(name="Cached", message=f"all {reused} parts of {len(outcomes)} stages reused", data=outcomes)
    return outcomes


class Progress:
    """A progress artifact of a run: what part of the work is done, and what is to be said of it.

    A server that does not answer stops no work: then it is not shown.

    Args:
        key: Its name in the UI.
        what: What is counted.
    """

    def __init__(self, key: str, what: str) -> None:
        self._what, self._shown_at_s, self._log = what, time.monotonic(), get_run_logger()
        artifact = create_progress_artifact(0.0, key=key, description=what)
        assert isinstance(artifact, UUID)  # a coroutine only inside an event loop
        self._artifact = artifact

    def show(self, share: float, more: str = "", *, at_once: bool = False) -> None:
        """Shows how far it is, unless it was shown a moment ago.

        Args:
            share: What is done, 0 to 1.
            more: What else to say.
            at_once: Show it even so.
        """
        now_s = time.monotonic()
        if now_s - self._shown_at_s < SHOW_EVERY_S and not at_once:
            return
        self._shown_at_s = now_s
        try:
            update_progress_artifact(self._artifact, 100.0 * share, f"{self._what}. {more}" if more else self._what)
        except (HTTPError, PrefectException, RuntimeError) as error:  # the last where nothing answers at all
            self._log.warning("%s: the progress could not be shown (%s); the work goes on.", self._what, error)


@contextmanager
def training_progress(stage: str, folder: Path) -> Iterator[None]:
    """While it is open, a training's status is shown, whichever process of this machine trains.

    Args:
        stage: Its name.
        folder: Of the model: `data/models/<name>`.
    """
    drop_status(folder)  # of one that was killed
    progress, ended = Progress(f"{stage}-progress", f"{stage}: steps done"), threading.Event()
    last: list[TrainingStatus] = []

    def watch() -> None:
        while not ended.wait(SHOW_EVERY_S):
            if status := read_status(folder):
                last[:] = [status]
                progress.show(status.step / status.steps, _status_text(status), at_once=True)

    context = contextvars.copy_context()  # Prefect's settings and client stand in it
    watcher = threading.Thread(target=context.run, args=[watch], name=f"{stage} progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    progress.show(1.0, f"All are done. {_status_text(last[0]) if last else ''}".strip(), at_once=True)


def show_outcomes(key: str, outcomes: Sequence[Outcome]) -> None:
    """A table of what stages did: how many parts each built, and how many it found done."""
    rows = [
        {
            "stage": outcome.stage,
            "state": "Cached" if outcome.current else "Completed",
            "parts built": outcome.built,
            "parts reused": outcome.reused,
            "seconds of work": outcome.seconds_s,
            "counts": ", ".join(f"{name} {count:,}" for name, count in outcome.counts.items()),
        }
        for outcome in outcomes
    ]
    built, reused = (sum(numbers) for numbers in zip(*[(each.built, each.reused) for each in outcomes], strict=True))
    create_table_artifact(table=rows, key=key, description=f"{built:,} parts built, {reused:,} reused")


def show_picture(key: str, file: Path, description: str) -> None:
    """A picture in the UI itself: browsers open no file of the server's machine from a page."""
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
