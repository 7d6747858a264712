"""Prefect plugin: short deployment names and dotted settings on Prefect's command line.

`prefect deployment run clean-and-train` runs the only deployment of that name, `clean-and-train/clean-and-train`, and
`-p blurry.threshold=0.4` changes one value of the parameter `settings`.

Prefect loads this module whenever it starts in this folder: see `[project.entry-points]` and `[tool.prefect]` in
pyproject.toml. In processes started by `recolor up` (server, worker, runs) and by `recolor run --prefect` (the flow and
its temporary server) the plugin also watches that process and ends them when it has ended.
"""

import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from prefect.plugins import HookContext, SetupResult, register_hook

if TYPE_CHECKING:  # this module is loaded in the middle of Prefect's own start
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

    ReadByName = Callable[[PrefectClient, str], Awaitable[DeploymentResponse]]
    CreateRun = Callable[..., Awaitable[FlowRun]]

SETTINGS = "settings"
API_URL = "http://127.0.0.1:4200/api"
PARENT = "RECOLOR_COMMAND"  # environment variable of what `recolor up` and `run --prefect` start: their process id
_WATCH = "parent watch"
_WATCH_EVERY_S = 0.2
_SUPERVISOR = "_workspace_supervisor"  # the module that starts a run's process


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult | None:
    """Called by Prefect when it starts.

    The `prefect` command uses the server of `recolor up` if no other is set.
    """
    watch_parent()
    if any(word.endswith(_SUPERVISOR) for word in sys.orig_argv):
        # Prefect's program for the hooks of a killed run, which is started below this one, would show a traceback: it
        # loads plugins inside an event loop. The flow itself, started here too, calls `watch_parent`.
        os.environ["PREFECT_PLUGINS_ENABLED"] = "false"
    from prefect.client.orchestration import PrefectClient  # noqa: PLC0415 - not importable any earlier

    client: Any = PrefectClient
    client.read_deployment_by_name = by_either_name(PrefectClient.read_deployment_by_name)
    client.create_flow_run_from_deployment = with_dotted_settings(PrefectClient.create_flow_run_from_deployment)
    if ctx.api_url is None and _is_typed():  # programs keep Prefect's temporary server
        return SetupResult(env={"PREFECT_API_URL": API_URL})
    return None


def watch_parent() -> None:
    """Makes this process end with the command that has started it, if that is Recolor's."""
    if PARENT in os.environ and _WATCH not in [thread.name for thread in threading.enumerate()]:
        end_with_parent(int(os.environ[PARENT]))


def end_with_parent(first: int) -> None:
    """Ends this process when its parent, or the process `first`, has ended.

    The reason does not matter; it may be SIGKILL.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent and exists(first):
            time.sleep(_WATCH_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, name=_WATCH, daemon=True).start()


def exists(process: int) -> bool:
    """Returns whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def by_either_name(read: "ReadByName") -> "ReadByName":
    """Wraps `read_deployment_by_name`, so that it accepts DEPLOYMENT alone.

    It also adds the dotted settings to the deployment's parameters. On the command line, a mistyped setting is answered
    with the nearest one, and a server that does not answer with what to do, in one line each.
    """

    @wraps(read)
    async def read_either(client: "PrefectClient", name: str) -> "DeploymentResponse":
        try:
            deployment = await read(client, name if "/" in name else await _full_name(client, name))
        except httpx.ConnectError as error:
            if not _is_typed():
                raise
            raise SystemExit(
                f"No Prefect server answers at {str(client.api_url).rstrip('/')}. Start one in another terminal:"
                " `recolor up`. If it runs at another address, as `recolor up` prints it, set PREFECT_API_URL to that."
            ) from error
        schema = deployment.parameter_openapi_schema or {}
        settings = dotted_settings(schema)
        schema.setdefault("properties", {}).update(settings)
        if settings and _is_typed():
            check_names(_given_names(sys.argv), schema["properties"])
        return deployment

    return read_either


def with_dotted_settings(create: "CreateRun") -> "CreateRun":
    """Wraps `create_flow_run_from_deployment`, so that it accepts dotted settings.

    Parameters such as `blurry.threshold` are moved into the parameter `settings`. They change the `settings` given with
    the call or, if there are none, those of the deployment. The server checks the result against the deployment's
    schema, and creates no run if a value is not allowed.
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


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Checks that names of parameters are known, or like none that is: Prefect then lists all.

    Raises:
        SystemExit: A name is unknown and like a known one, or is the last part of one; the message says which.
    """
    known = list(known)
    for name in names:
        close = [each for each in known if each.rpartition(".")[2] == name][:3] or get_close_matches(name, known, n=1)
        if name not in known and close:
            raise SystemExit(f"There is no parameter {name!r}. Did you mean {' or '.join(map(repr, close))}?")


def _given_names(words: Sequence[str]) -> list[str]:
    """Returns the names of the parameters on Prefect's command line: `-p NAME=VALUE`, `--param=NAME=VALUE`."""
    given = [word for flag, word in pairwise(words) if flag in {"-p", "--param"}]
    given += [word.removeprefix("--param=") for word in words if word.startswith("--param=")]
    return [word.partition("=")[0] for word in given]


def _is_typed() -> bool:
    """Returns whether this is the command `prefect`, and not a program."""
    return Path(sys.argv[0]).stem == "prefect"


def nested(settings: Mapping[str, Any], dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings with dotted ones applied.

    `blurry.threshold` sets `settings["blurry"]["threshold"]`.
    """
    result = dict(settings)
    for name, value in dotted.items():
        first, dot, rest = name.partition(".")
        result[first] = nested(result.get(first) or {}, {rest: value}) if dot else value
    return result


def dotted_settings(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema of each setting, by dotted name, from a deployment's schema."""
    settings = schema.get("properties", {}).get(SETTINGS)
    return dict(_leaves(settings, schema.get("definitions", {}))) if settings else {}


def _leaves(schema: Mapping[str, Any], definitions: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in _resolved(schema, definitions).get("properties", {}).items():
        if "properties" in _resolved(value, definitions):
            yield from _leaves(value, definitions, f"{at}{name}.")
        elif at:
            yield at + name, value


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the definition that a schema refers to, else the schema itself.

    The reference may be in `anyOf` or `allOf`.
    """
    for choice in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in choice:
            found: Mapping[str, Any] = definitions[choice["$ref"].rpartition("/")[2]]
            return found
    return schema


async def _full_name(client: "PrefectClient", name: str) -> str:
    """Returns FLOW/DEPLOYMENT for the only deployment of that name.

    Raises:
        SystemExit: No deployment has that name, or several have; the message lists them. Prefect would print a
            traceback for any other exception.
    """
    known = [
        f"{(await client.read_flow(found.flow_id)).name}/{found.name}" for found in await client.read_deployments()
    ]
    found = [full for full in known if full.rpartition("/")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise SystemExit(f"Several deployments are called {name!r}. Say which: {', '.join(sorted(found))}.")
    there = (
        f"There are: {', '.join(sorted(known))}"
        if known
        else "There are none: run `recolor up`, or `prefect deploy --all` in Recolor's folder"
    )
    raise SystemExit(f"No deployment is called {name!r}. {there}.")
