"""What a step asks of a device: floating-point operations, and bytes to and from memory. Counted, not timed."""

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
    """Of one step.

    Attributes:
        flop: Floating-point operations of its convolutions and matrix products, forward and backward; a
            multiplication and an addition are two.
        own_flop: Those of the modules of one class and of what is in them.
        traffic_bytes: See `Traffic`.
    """

    flop: int
    own_flop: int
    traffic_bytes: int


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch ships its hooks without types
    """Counts the bytes that operations read and write, as if each read its arguments from memory and wrote there.

    That is the traffic of a step without any fusing, and without what a cache holds from one operation to the next:
    what eager execution of operations larger than the caches comes to. Views cost nothing, and neither does memory
    that is only set aside. What is changed in place is read and written. An expanded tensor counts as it is stored.

    Attributes:
        traffic_bytes: So far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.traffic_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operation and adds its bytes."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.traffic_bytes += _traffic_bytes(func, args, kwargs, out)
        return out


def count_work(step: Callable[[], None], own: type) -> Work:
    """Runs a step and counts its work.

    Args:
        step: Uncompiled.
        own: A module's class, whose operations are counted apart too.
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
