"""Prefect's own command line, as one would type it in this project's folder.

`prefect deployment run clean-and-train` names the one deployment of that name, as `clean-and-train/clean-and-train`
does, and `-p blurry.threshold=0.4` is one of the `settings`. Prefect loads this module wherever it starts in this
folder: see `[project.entry-points]` and `[tool.prefect]` in pyproject.toml. So this is also where what `recolor up`
has started, server, worker and runs, learns to end with it.
"""

import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.plugins import HookContext, SetupResult, register_hook

if TYPE_CHECKING:  # this module is loaded in the middle of Prefect's own start
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

    ReadByName = Callable[[PrefectClient, str], Awaitable[DeploymentResponse]]
    CreateRun = Callable[..., Awaitable[FlowRun]]

SETTINGS = "settings"
API_URL = "http://127.0.0.1:4200/api"
PARENT = "RECOLOR_UP"  # in the environment of what `recolor up` has started: its process
_WATCH_EVERY_S = 0.2


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult | None:
    """Called by Prefect when it starts. What is typed goes to the server of `recolor up` if no other is set."""
    if PARENT in os.environ:
        end_with_parent(int(os.environ[PARENT]))
    from prefect.client.orchestration import PrefectClient  # noqa: PLC0415 - not importable any earlier

    client: Any = PrefectClient
    client.read_deployment_by_name = by_either_name(PrefectClient.read_deployment_by_name)
    client.create_flow_run_from_deployment = with_dotted_settings(PrefectClient.create_flow_run_from_deployment)
    if ctx.api_url is None and Path(sys.argv[0]).stem == "prefect":  # programs keep Prefect's temporary server
        return SetupResult(env={"PREFECT_API_URL": API_URL})
    return None


def end_with_parent(first: int) -> None:
    """Ends this process when its parent has ended, however that was; the parent ends with its own, up to the first."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent and _exists(first):
            time.sleep(_WATCH_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def by_either_name(read: "ReadByName") -> "ReadByName":
    """Lets deployments be read by FLOW/DEPLOYMENT or DEPLOYMENT, and list the dotted names of their settings."""

    @wraps(read)
    async def read_either(client: "PrefectClient", name: str) -> "DeploymentResponse":
        deployment = await read(client, name if "/" in name else await _full_name(client, name))
        schema = deployment.parameter_openapi_schema or {}
        schema.setdefault("properties", {}).update(dotted_settings(schema))
        return deployment

    return read_either


def with_dotted_settings(create: "CreateRun") -> "CreateRun":
    """Lets runs be created with parameters such as `blurry.threshold`: they go into the parameter `settings`.

    They change what `settings` is given beside them, or else what the deployment has; the server then checks them
    against the deployment's schema, as it does all others, and creates no run if one is not allowed.
    """

    @wraps(create)
    async def create_with(
        client: "PrefectClient", deployment_id: UUID, *, parameters: dict[str, Any] | None = None, **others: Any
    ) -> "FlowRun":
        given = dict(parameters or {})
        dotted = {name: given.pop(name) for name in list(given) if "." in name}
        if dotted:
            own = (await client.read_deployment(deployment_id)).parameters
            given[SETTINGS] = nested(given.get(SETTINGS) or own.get(SETTINGS) or {}, dotted)
        return await create(client, deployment_id, parameters=given, **others)

    return create_with


def nested(settings: Mapping[str, Any], dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Settings overlaid by dotted ones: `{"blurry.threshold": 0.4}` becomes `{"blurry": {"threshold": 0.4}}`."""
    result = dict(settings)
    for name, value in dotted.items():
        first, dot, rest = name.partition(".")
        result[first] = nested(result.get(first) or {}, {rest: value}) if dot else value
    return result


def dotted_settings(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a deployment's schema of parameters: dotted name -> schema of the value."""
    settings = schema.get("properties", {}).get(SETTINGS)
    return dict(_leaves(settings, schema.get("definitions", {}))) if settings else {}


def _leaves(schema: Mapping[str, Any], definitions: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in _resolved(schema, definitions).get("properties", {}).items():
        if "properties" in _resolved(value, definitions):
            yield from _leaves(value, definitions, f"{at}{name}.")
        elif at:
            yield at + name, value


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema refers to, itself or as the one thing it may be besides null."""
    for choice in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in choice:
            found: Mapping[str, Any] = definitions[choice["$ref"].rpartition("/")[2]]
            return found
    return schema


async def _full_name(client: "PrefectClient", name: str) -> str:
    """FLOW/DEPLOYMENT of the one deployment of that name.

    Raises:
        SystemExit: There is none, or there are several; says which there are. (Prefect shows a trace of all else.)
    """
    known = [
        f"{(await client.read_flow(found.flow_id)).name}/{found.name}" for found in await client.read_deployments()
    ]
    found = [full for full in known if full.rpartition("/")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise SystemExit(f"Several deployments are called {name!r}. Say which: {', '.join(sorted(found))}.")
    there = f"There are: {', '.join(sorted(known))}" if known else "There are none: run `prefect deploy --all`"
    raise SystemExit(f"No deployment is called {name!r}. {there}.")
