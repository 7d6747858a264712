"""The deployments of prefect.yaml on a server: creates and updates ours, and changes nothing else.

A deployment is ours if it has the name and the entrypoint of one in prefect.yaml, and the pool `recolor`.
"""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from flows.devices import limits_of_this_machine
from recolor.errors import InputError, RecolorError

POOL = "recolor"
POOL_TYPE = "process"
PROJECT = Path(__file__).resolve().parents[1]  # holds the package `flows`: this checkout, or site-packages
PREFECT_FILE = Path(__file__).with_name("prefect.yaml")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as prefect.yaml declares it.

    Attributes:
        name: Its name, which is also the name of its flow.
        entrypoint: File and function of the flow, such as `flows/clean.py:clean`.
    """

    name: str
    entrypoint: str


def declared_deployments() -> list[Deployment]:
    """Returns the deployments of prefect.yaml."""
    declared = yaml.safe_load(PREFECT_FILE.read_text())["deployments"]
    return [Deployment(each["name"], each["entrypoint"]) for each in declared]


def deploy(client: SyncPrefectClient, environment: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
    """Creates or updates our deployments, with these default parameters.

    Args:
        client: Client of the server.
        environment: Environment of Prefect's command line; it names the same server.
        parameters: Default parameters of every deployment.

    Raises:
        InputError: See `check_beside_others`; nothing was changed.
        RecolorError: `prefect deploy` failed.
    """
    check_beside_others(client)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(PREFECT_FILE)]
    done = subprocess.run(  # noqa: S603 - Prefect's command line
        command, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RecolorError(f"prefect deploy: {done.stdout}{done.stderr}")
    for deployment in our_deployments(client):
        client.update_deployment(deployment.id, DeploymentUpdate(parameters=dict(parameters)))


def our_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Returns our deployments that the server has."""
    return [deployment for deployment in _same_names(client) if _is_ours(deployment)]


def check_beside_others(client: SyncPrefectClient) -> None:
    """Checks that the server has nothing of others' under the names that ours have.

    Raises:
        InputError: The pool has another type, or a deployment that is not ours has the name of one of ours.
    """
    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        pass
    else:
        if pool.type != POOL_TYPE:
            raise InputError(
                f"the server has a work pool {POOL!r} of the type {pool.type!r}, and Recolor's has the type"
                f" {POOL_TYPE!r}. It was left as it is. Use another server, or delete the pool there."
            )
    for deployment in _same_names(client):
        name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
        if not _is_ours(deployment) and name == f"{deployment.name}/{deployment.name}":
            raise InputError(
                f"the server has a deployment {name} that is not Recolor's: it has the pool"
                f" {deployment.work_pool_name!r} and the entrypoint {deployment.entrypoint!r}. It was left as it is."
                f" Use another server, or delete it there: prefect deployment delete {name}."
            )


def create_missing_limits(client: SyncPrefectClient) -> None:
    """Creates the concurrency limits `cpu` and `gpu` where the server has none."""
    for name, limit in limits_of_this_machine().items():
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=limit))


def _same_names(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Returns the server's deployments that have the name of one of ours."""
    names = DeploymentFilter(name=DeploymentFilterName(any_=[each.name for each in declared_deployments()]))
    return client.read_deployments(deployment_filter=names)


def _is_ours(deployment: DeploymentResponse) -> bool:
    declared = Deployment(deployment.name, deployment.entrypoint or "")
    return deployment.work_pool_name == POOL and declared in declared_deployments()
