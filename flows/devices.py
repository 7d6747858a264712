"""Limits each GPU (or the CPU) to one run at a time; other runs wait for it.

The server's global concurrency limits `gpu` and `cpu` give the number of devices. `recolor up` creates them, and so
does `prefect gcl create gpu --limit 1`. Without such a limit no run waits.
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

_LEASE_S = 60  # a killed run's devices are free again after this time


@contextmanager
def hold_devices(name: DeviceName, devices: int = 1) -> Iterator[None]:
    """Waits until the devices are free, then holds them while the context is open.

    If the server loses the lease or does not answer, work that has begun continues.

    Args:
        name: Device of the settings; `auto` is CUDA if it is available.
        devices: Number of GPUs. Processes on the CPU share its one slot.

    Raises:
        ConfigError: `devices` is larger than the server's limit.
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
        get_run_logger().info("Waiting for the %s, which another run is using.", limit_name.upper())
    with concurrency(limit_name, slots, lease_duration=_LEASE_S, strict=False, raise_on_lease_renewal_failure=False):
        yield


def limits_of_this_machine() -> dict[str, int]:
    """Returns the concurrency limits for this machine: one run on the CPU and one on each GPU."""
    import torch

    return {"cpu": 1, "gpu": max(1, torch.cuda.device_count())}


def _limit(name: str) -> GlobalConcurrencyLimitResponse | None:
    with get_client(sync_client=True) as client:
        try:
            return client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            return None
