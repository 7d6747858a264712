"""Timing on a device: the time of steps, and the part of it that is spent on data."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")
Mark = float | torch.cuda.Event


@dataclass(frozen=True, slots=True)
class Timing:
    """Mean times of steps, in seconds per step.

    Attributes:
        step_s: Time from the end of a step to the end of the next one.
        data_s: Part of that time until the next batch is ready.
    """

    step_s: float
    data_s: float


def time_steps(
    batches: Iterator[T], step: Callable[[T], None], *, device: torch.device, warmup_steps: int, steps: int
) -> Timing:
    """Times training steps without synchronising host and device in between.

    On a CUDA device, times are measured between events of its stream. The data time starts when the device has finished
    a step and ends when it has finished the work of `next(batches)`. It includes the device's work on the batch, and
    its idle time if the host is late; it does not include time in which the host waits while the device still works on
    the previous step. On a CPU, it is the time of `next(batches)`.

    Args:
        batches: At least `warmup_steps + steps` batches.
        step: Does one training step with a batch.
        device: Device of the batches and steps.
        warmup_steps: Number of steps before the timed ones.
        steps: Number of timed steps.
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
    """Returns the seconds of the fastest of `times` runs, after a warm-up run."""
    work()
    return min(_seconds(work, device) for _ in range(times))


def mark(device: torch.device) -> Mark:
    """Returns the current time; on CUDA, an event reached after all queued work."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # no type hints in torch
    event.record()
    return event


def seconds_between(start: Mark, end: Mark) -> float:
    """Returns the seconds between two marks of the same device; both must have been reached."""
    if isinstance(start, float) or isinstance(end, float):
        assert isinstance(start, float)
        assert isinstance(end, float)
        return end - start
    return float(start.elapsed_time(end)) / 1e3


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    start = mark(device)
    work()
    end = mark(device)
    synchronize(device)
    return seconds_between(start, end)
