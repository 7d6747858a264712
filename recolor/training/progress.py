"""Progress of a training: progress bar, status file, metrics so far, and TensorBoard curves."""

import json
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from recolor.errors import TrainingError
from recolor.pipeline import progress as shown
from recolor.pipeline.storage import temporary_path
from recolor.training.distributed import is_main_process
from recolor.training.metrics import Metric, write_metrics_so_far
from recolor.training.step import State, Training

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

STATUS_FILE = "progress.json"
STATUS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """The status of a training in progress.

    Attributes:
        step: Number of steps done.
        steps: Number of steps in all.
        images_per_s: Images per second since the previous status.
        loss: The last training loss read from the device; None before the first.
    """

    step: int
    steps: int
    images_per_s: float
    loss: float | None


def write_status(folder: Path, status: TrainingStatus) -> None:
    """Atomically replaces the status file in a model's folder. It is not flushed to disk."""
    temporary = temporary_path(folder / STATUS_FILE)
    temporary.write_text(json.dumps(asdict(status)))
    temporary.replace(folder / STATUS_FILE)


def read_status(folder: Path) -> TrainingStatus | None:
    """Returns the status of a model's training; None if no training is in progress."""
    try:
        return TrainingStatus(**json.loads((folder / STATUS_FILE).read_text()))
    except FileNotFoundError:
        return None


def delete_status(folder: Path) -> None:
    """Deletes the status file, at the end of a training or after one was killed."""
    (folder / STATUS_FILE).unlink(missing_ok=True)


class Progress:
    """Context manager that shows the progress of a training; only rank 0 shows and writes.

    Writes into the folder of the model: `metrics_so_far.parquet`, `progress.json` (a `TrainingStatus`), and
    `tensorboard/<start of key>/` with `tensorboard = true`.

    Args:
        training: The training.
        state: Its state before the first step of this run.
    """

    def __init__(self, training: Training, state: State) -> None:
        self._training, self._state = training, state
        self._open = ExitStack()
        self._shown = self._open.enter_context(_shown(training, state.step))
        self._curves: SummaryWriter | None = None
        self._written_rows, self._shown_rows = 0, 0
        self._status_step, self._status_at_s = state.step, time.monotonic()
        training.folder.mkdir(parents=True, exist_ok=True)
        if training.config.tensorboard and is_main_process():
            folder = training.folder / "tensorboard" / training.key[:16]
            self._shown_rows = len(state.metrics) if folder.is_dir() else 0
            self._curves = self._open.enter_context(_curves(folder, state.step))

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the bar and TensorBoard's file; writes the metrics if a TrainingError occurred."""
        self._open.close()
        if is_main_process():
            delete_status(self._training.folder)
        if isinstance(error, TrainingError) and is_main_process():
            write_metrics_so_far(self._training.folder, self._state.metrics, 0)

    def advance(self) -> None:
        """Counts one step; updates the status file about once a second."""
        self._shown.update(self._training.config.batch_images)
        passed_s = time.monotonic() - self._status_at_s
        if passed_s >= STATUS_EVERY_S and is_main_process():
            self._write_status(passed_s)

    def show_metrics(self) -> None:
        """Shows the metrics since the last call, and adds them to TensorBoard."""
        metrics = self._state.metrics
        self._shown.set_text(f"loss {_last_loss(metrics):.4f}")
        if self._curves is not None:
            _draw(self._curves, metrics[self._shown_rows :])
            self._shown_rows = len(metrics)

    def write_metrics(self) -> None:
        """Writes the metrics so far, if they have grown enough (see `write_metrics_so_far`)."""
        if is_main_process():
            self._written_rows = write_metrics_so_far(self._training.folder, self._state.metrics, self._written_rows)

    def flush(self) -> None:
        """Flushes TensorBoard's file before a checkpoint, so that resuming leaves no gap."""
        if self._curves is not None:
            self._curves.flush()

    def _write_status(self, passed_s: float) -> None:
        step, config = self._state.step, self._training.config
        images_per_s = (step - self._status_step) * config.batch_images / passed_s
        status = TrainingStatus(step, config.steps, round(images_per_s, 1), _last_loss(self._state.metrics))
        write_status(self._training.folder, status)
        self._status_step, self._status_at_s = step, time.monotonic()


def _last_loss(metrics: list[Metric]) -> float | None:
    return next((loss for _, split, loss, _ in reversed(metrics) if split == "train"), None)


def _shown(training: Training, start_step: int) -> shown.Progress:
    images = training.config.batch_images
    return shown.Progress(
        f"train {training.name}",
        training.config.steps * images,
        "images",
        initial=start_step * images,
        shown=is_main_process(),
    )


def _curves(folder: Path, start_step: int) -> "SummaryWriter":
    """Returns a TensorBoard writer that purges a killed run's steps after its last checkpoint.

    TensorBoard reads files in the order of their names, which begin with the time in whole seconds. This waits until
    that second is later than that of every file in the folder.
    """
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (an extra: see `checks.check_packages`)

    while any(folder.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
        time.sleep(0.05)
    return SummaryWriter(str(folder), purge_step=start_step + 1)


def _draw(curves: "SummaryWriter", metrics: list[Metric]) -> None:
    for step, split, loss, lr in metrics:
        curves.add_scalar(f"loss/{split}", loss, step)
        if split == "train":
            curves.add_scalar("lr", lr, step)
