"""The web application: pages, routes, and errors as JSON."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from recolor.app.access import Access, App, Receive, Scope, Send, guarded
from recolor.app.colour_routes import add_colour_routes
from recolor.app.decide_routes import add_decide_routes
from recolor.app.models import BackgroundModels
from recolor.app.photos import Photographs
from recolor.cleaning.passed_over import VIDEO_SUFFIXES
from recolor.colorize.look import LOOKS
from recolor.config.settings import IndexConfig
from recolor.errors import (
    ConfigError,
    ImageError,
    InputError,
    MissingStageError,
    RecolorError,
    StorageError,
    WorkspaceBusyError,
)
from recolor.manifests.names import shown
from recolor.pipeline.workspace import Workspace

MAX_BODY_BYTES = 32 * 1024 * 1024  # of a request other than an upload
_STATUS: Mapping[type[RecolorError], int] = MappingProxyType(
    {
        ConfigError: 422,
        ImageError: 422,
        InputError: 404,
        MissingStageError: 409,
        StorageError: 507,
        WorkspaceBusyError: 409,
    }
)
_PAGES = {"/": "colour.html", "/decide": "decide.html"}
_MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def make_app(
    access: Access,
    models: BackgroundModels,
    photographs: Photographs,
    workspace: Workspace | None = None,
    images: Path | None = None,
) -> App:
    """Returns the application, an ASGI callable.

    Args:
        access: The rules of access.
        models: The models, for their state; `photographs` uses them.
        photographs: The photographs of the page Colour.
        workspace: The workspace of the page Decide; None: the page says how to make one.
        images: The image folder of the workspace; None: the one that was indexed last.
    """
    app = FastAPI(title="Recolor", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(RecolorError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_refused)
    _add_pages(app)

    @app.get("/api/session")
    def session() -> Response:
        return JSONResponse(
            {
                "token": access.token,
                "models": models.state,
                "error": "" if models.error is None else str(models.error),
                "temperatures": _temperatures(models),
                "suffixes": {"images": IndexConfig().suffixes, "videos": VIDEO_SUFFIXES},
                "workspace": None if workspace is None else shown(workspace.root),
            },
            headers={"cache-control": "no-store"},
        )

    add_colour_routes(app, photographs)
    if workspace is not None:
        add_decide_routes(app, workspace, images)
    return guarded(_limited(app), access)


def _temperatures(models: BackgroundModels) -> Mapping[str, float]:
    """Returns the temperature of each named look; none while the models are being loaded."""
    if models.state != "ready":
        return {}
    own = models().generator.temperature
    return {name: own if look.temperature is None else look.temperature for name, look in LOOKS.items()}


def _add_pages(app: FastAPI) -> None:
    folder = files("recolor.app").joinpath("static")
    for path, name in _PAGES.items():
        app.add_api_route(path, _file_route(folder.joinpath(name)), methods=["GET"])
    shared = files("recolor.pages").joinpath("templates", "cards.css")
    for entry in (shared, *folder.iterdir()):
        if not entry.name.endswith(".html"):
            app.add_api_route(f"/static/{entry.name}", _file_route(entry), methods=["GET"])


def _file_route(file: Traversable) -> Callable[[], Response]:
    data, media_type = file.read_bytes(), _MEDIA_TYPES[Path(file.name).suffix]

    def answer() -> Response:
        return Response(data, media_type=media_type, headers={"cache-control": "no-cache"})

    return answer


def _on_error(request: Request, error: Exception) -> Response:
    del request
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return _said(str(error), status)


def _on_refused(request: Request, error: Exception) -> Response:
    """Answers a request for what there is not, by a method that is not allowed, or with a body that is no JSON."""
    del request
    if not isinstance(error, HTTPException):
        raise error
    return _said(str(error.detail), error.status_code, error.headers)


def _said(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Returns an error as JSON. A request may hold halves of surrogate pairs, which UTF-8 does not."""
    readable = text.encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"error": readable}, status_code=status, headers=headers)


def _on_invalid(request: Request, error: Exception) -> Response:
    del request
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    said = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in problems)
    return _said(f"the request is not valid: {said}", 422)


def _limited(app: App) -> App:
    """Returns the application behind a limit on the size of requests; uploads have a limit of their own."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "PUT"):
            length = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"0")
            is_chunked = any(name.lower() == b"transfer-encoding" for name, _ in scope["headers"])
            if is_chunked or not length.isdigit() or int(length) > MAX_BODY_BYTES:
                answer = _said("the request is too large, or does not say how large it is.", 413)
                await answer(scope, receive, send)
                return
        await app(scope, receive, send)

    return limited
