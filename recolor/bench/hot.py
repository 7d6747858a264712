"""Profiling: the operations of a step that take the most time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

T = TypeVar("T")

HOT_STEPS = 3
_MAX_OPERATIONS = 10


@dataclass(frozen=True, slots=True)
class HotOperation:
    """An operation, on CUDA a kernel, without the operations that it calls.

    Attributes:
        name: Name in torch's profiler.
        self_s: Seconds per step.
        share: Share of the time of all operations.
        calls: Number of calls per step.
    """

    name: str
    self_s: float
    share: float
    calls: float


def hottest(batches: Iterator[T], step: Callable[[T], None], device: torch.device) -> tuple[HotOperation, ...]:
    """Profiles `HOT_STEPS` steps, including data loading.

    Args:
        batches: At least `HOT_STEPS` batches.
        step: Does one training step with a batch.
        device: Device of the batches and steps.

    Returns:
        The ten operations with the most time of their own, longest first.
    """
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiled:
        for _ in range(HOT_STEPS):
            step(next(batches))

    def self_us(event: Any) -> float:
        return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)

    events = [
        e for e in profiled.key_averages() if e.device_type.name == device.type.upper() and not e.is_user_annotation
    ]
    total_us = sum(map(self_us, events))
    longest = sorted(events, key=self_us, reverse=True)[:_MAX_OPERATIONS]
    return tuple(
        HotOperation(e.key, self_us(e) / 1e6 / HOT_STEPS, self_us(e) / total_us, e.count / HOT_STEPS) for e in longest
    )
