"""One run a device: what uses a GPU, or a CPU instead, waits for those before it.

The server's global concurrency limits `gpu` and `cpu` say how many devices there are; `recolor up` makes them, or
`prefect gcl create gpu --limit 1` does. Where there is no such limit nobody waits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from recolor.config.settings import DeviceName
from recolor.errors import ConfigError

_LEASE_S = 60  # what a killed run held is free again after this


@contextmanager
def device_held(name: DeviceName, devices: int = 1) -> Iterator[None]:
    """Holds devices as soon as they are free, for as long as it is open.

    A server that forgets who holds them, or does not answer, stops no work that has begun.

    Args:
        name: As in the settings; `auto` is CUDA where there is one.
        devices: How many GPUs; processes on a CPU are on the one CPU.

    Raises:
        ConfigError: More GPUs are asked for than the limit has.
    """
    from recolor.models.device import resolve_device

    limit_name, slots = ("gpu", devices) if resolve_device(name, devices).type == "cuda" else ("cpu", 1)
    limit = _limit(limit_name)
    if limit is None:
        yield
        return
    if slots > limit.limit:
        raise ConfigError(
            f"devices = {devices}: the server's limit `{limit_name}` is {limit.limit}, so they would never be free."
            f" Raise it: prefect gcl update {limit_name} --limit {devices}."
        )
    if limit.active_slots + slots > limit.limit:
        get_run_logger().info("Waits for the %s, which another run has.", limit_name.upper())
    with concurrency(limit_name, slots, lease_duration=_LEASE_S, strict=False, raise_on_lease_renewal_failure=False):
        yield


def limits_of_this_machine() -> dict[str, int]:
    """The limits that fit this machine: one run at once on the CPU and on each GPU."""
    import torch

    return {"cpu": 1, "gpu": max(1, torch.cuda.device_count())}


def _limit(name: str) -> GlobalConcurrencyLimitResponse | None:
    with get_client(sync_client=True) as client:
        try:
            return client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            return None
