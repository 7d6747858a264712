"""Time on a device: how long steps take, and how much of that they spend on their data."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")
Mark = float | torch.cuda.Event


@dataclass(frozen=True, slots=True)
class Timing:
    """Steps that were timed, in seconds a step, on the average.

    Attributes:
        step_s: From the end of a step's work to the end of the next one's.
        data_s: The part of it from the end of a step's work until the next batch was ready.
    """

    step_s: float
    data_s: float


def time_steps(
    batches: Iterator[T], step: Callable[[T], None], *, device: torch.device, warmup_steps: int, steps: int
) -> Timing:
    """Runs steps as a training does, and times them without ever making the host wait for the device in between.

    On a CUDA device the times are between events of its stream: the data's time begins when the device has done all
    of a step's work and ends when it has done all that `next(batches)` asked of it. So it counts what the device
    itself does for the batch and, where the host is late, its idling; a host that waits while the device still works
    on the last step costs nothing. On a CPU it is the time inside of `next(batches)`.

    Args:
        batches: At least `warmup_steps + steps` of them.
        step: Takes a batch.
        device: Where both happen.
        warmup_steps: First steps that do not count.
        steps: Steps that count.
    """
    for _ in range(warmup_steps):
        step(next(batches))
    synchronize(device)
    asked, ready = [], []
    for _ in range(steps):
        asked.append(mark(device))
        batch = next(batches)
        ready.append(mark(device))
        step(batch)
    end = mark(device)
    synchronize(device)
    data_s = sum(seconds_between(*marks) for marks in zip(asked, ready, strict=True))
    return Timing(seconds_between(asked[0], end) / steps, data_s / steps)


def fastest_s(work: Callable[[], object], device: torch.device, times: int) -> float:
    """Seconds of the fastest of `times` runs, after one that does not count."""
    work()
    return min(_seconds(work, device) for _ in range(times))


def mark(device: torch.device) -> Mark:
    """This moment; on CUDA the moment at which the device has done all that it was asked so far."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch ships this one without types
    event.record()
    return event


def seconds_between(start: Mark, end: Mark) -> float:
    """Seconds from one moment to another of the same device; both must have been reached."""
    if isinstance(start, float) or isinstance(end, float):
        assert isinstance(start, float)
        assert isinstance(end, float)
        return end - start
    return float(start.elapsed_time(end)) / 1e3


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    start = mark(device)
    work()
    end = mark(device)
    synchronize(device)
    return seconds_between(start, end)
