"""What a person sees of a training under way: a bar, the metrics so far, and TensorBoard's curves if asked for."""

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

from recolor.errors import TrainingError
from recolor.training.distributed import is_main_process
from recolor.training.metrics import Metric, write_metrics_so_far
from recolor.training.status import TrainingStatus, drop_status, write_status
from recolor.training.step import State, Training

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

STATUS_EVERY_S = 1.0


class Progress:
    """Shows the steps of a training from where it goes on; what it opens is closed with it.

    Of several processes that train together, the first one shows and writes.

    Args:
        training: Writes into its folder: `metrics_so_far.parquet`, `progress.json` (see `recolor.training.status`),
            and `tensorboard/<start of key>/` if that is asked for.
        state: Before the first step to show.
    """

    def __init__(self, training: Training, state: State) -> None:
        self._training, self._state = training, state
        self._open = ExitStack()
        self._bar = self._open.enter_context(_bar(training, state.step))
        self._curves: SummaryWriter | None = None
        self._written_rows, self._told_rows = 0, 0
        self._status_step, self._status_at_s = state.step, time.monotonic()
        training.folder.mkdir(parents=True, exist_ok=True)
        if training.config.tensorboard and is_main_process():
            folder = training.folder / "tensorboard" / training.key[:16]
            self._told_rows = len(state.metrics) if folder.is_dir() else 0
            self._curves = self._open.enter_context(_curves(folder, state.step))

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the bar and TensorBoard's file; where it ends with an error, the metrics show how it came to that."""
        self._open.close()
        if is_main_process():
            drop_status(self._training.folder)
        if isinstance(error, TrainingError) and is_main_process():
            write_metrics_so_far(self._training.folder, self._state.metrics, 0)

    def advance(self) -> None:
        """Counts a step."""
        self._bar.update(self._training.config.batch_images)
        passed_s = time.monotonic() - self._status_at_s
        if passed_s >= STATUS_EVERY_S and is_main_process():
            self._write_status(passed_s)

    def tell(self) -> None:
        """Shows what was measured since it was last called."""
        metrics = self._state.metrics
        self._bar.set_postfix(loss=f"{_last_loss(metrics):.4f}", refresh=False)
        if self._curves is not None:
            _draw(self._curves, metrics[self._told_rows :])
            self._told_rows = len(metrics)

    def write(self) -> None:
        """Writes the metrics so far, where they have grown enough to be worth it."""
        if is_main_process():
            self._written_rows = write_metrics_so_far(self._training.folder, self._state.metrics, self._written_rows)

    def flush(self) -> None:
        """Has TensorBoard's file hold all that a checkpoint does, so that a resumed training leaves no gap in it."""
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


def _bar(training: Training, start_step: int) -> "tqdm[NoReturn]":
    images = training.config.batch_images
    return tqdm(
        total=training.config.steps * images,
        initial=start_step * images,
        desc=f"train {training.name}",
        unit=" images",
        disable=None if is_main_process() else True,
        delay=1,
    )


def _curves(folder: Path, start_step: int) -> "SummaryWriter":
    """TensorBoard's file; it is told to forget the steps that a killed run did after its last checkpoint.

    Files are read in the order of their names, which begin with the second: this one has a later one than those there.
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
