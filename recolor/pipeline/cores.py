"""The same function on many items, on all cores: numpy, OpenCV and torch release Python's lock while they work."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from recolor.config.settings import ExecutionConfig
from recolor.pipeline.parallel import worker_count

T = TypeVar("T")
R = TypeVar("R")


def on_all_cores(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The function's result for each item, in their order; a single item needs no thread."""
    if len(items) <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(len(items), worker_count(ExecutionConfig()))) as pool:
        return list(pool.map(function, items))
