"""Counts the work of a step: floating-point operations and memory traffic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, slots=True)
class Work:
    """Work of one step.

    Attributes:
        flop: Floating-point operations of convolutions and matrix products, forward and backward; a multiplication
            and an addition count as two.
        own_flop: Floating-point operations of the modules of one class, including their submodules.
        traffic_bytes: Memory traffic; see `Traffic`.
    """

    flop: int
    own_flop: int
    traffic_bytes: int


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]  # no type hints in torch
    """Counts the bytes that operations read and write, without caches.

    Each operation counts as reading all its arguments from memory and writing all its results. This is the traffic of a
    step without fusion and without caching between operations, as in eager execution of operations larger than the
    caches. Views and uninitialised allocations count as 0 bytes. Tensors changed in place
    are both read and written. An expanded tensor counts with its stored size.

    Attributes:
        traffic_bytes: Number of bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.traffic_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs an operation and adds its bytes."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.traffic_bytes += _traffic_bytes(func, args, kwargs, out)
        return out


def count_work(step: Callable[[], None], own: type) -> Work:
    """Runs a step and counts its work.

    Args:
        step: Does one training step, not compiled.
        own: Class of the modules whose operations are also counted separately.
    """
    with FlopCounterMode(display=False) as flop, Traffic() as traffic:
        step()
    of_modules = flop.get_flop_counts()
    return Work(flop.get_total_flops(), sum(of_modules.get(own.__name__, {}).values()), traffic.traffic_bytes)


def _traffic_bytes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    read = _tensors((args, kwargs))
    stored = {tensor.untyped_storage().data_ptr() for tensor in read}
    made = [tensor for tensor in _tensors(out) if tensor.untyped_storage().data_ptr() not in stored]
    arguments = func._schema.arguments
    changed = [kwargs.get(a.name, args[i] if i < len(args) else None) for i, a in enumerate(arguments) if a.is_write]
    written = [*made, *_tensors(changed)]
    if not written or "empty" in func.name():
        return 0
    return sum(_bytes(tensor) for tensor in (*read, *written))


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    return tensor.element_size() * prod(size for size, stride in zip(tensor.shape, tensor.stride()) if stride)
