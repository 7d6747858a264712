"""Serves the pages of a workspace on this machine, so that links in Prefect's UI open.

A browser opens no `file://` link of a web page. `recolor up` runs the server. It listens on 127.0.0.1 and serves,
read-only, the report and its pictures, the pages in `manifests/` such as the gallery, and the photographs that were
indexed last. The path of a URL is that of the file, so the gallery's relative links to the originals work. Runs that
`recolor up` did not start link to the files themselves.
"""

import html
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from recolor.errors import InputError, RecolorError
from recolor.pipeline.workspace import Workspace, image_folder

_URL = "RECOLOR_PAGES_URL"  # environment variables of the runs: address of the server,
_WORKSPACE = "RECOLOR_PAGES_WORKSPACE"  # and the only workspace that it serves
_HOST = "127.0.0.1"
_TIMEOUT_S = 30.0

_PAGES = {".html": "text/html; charset=utf-8"}
_PICTURES = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}
_MEDIA_TYPES = _PAGES | _PICTURES


def pages_environment(workspace: Workspace, url: str) -> dict[str, str]:
    """Returns the environment in which runs link to the server at this URL."""
    return {_URL: url, _WORKSPACE: str(workspace.root)}


def page_url(workspace: Workspace, file: Path) -> str:
    """Returns the link to a file of a workspace: of the server of `recolor up` if that serves it, else `file://`."""
    server = os.environ.get(_URL)
    if server and os.environ.get(_WORKSPACE) == str(workspace.root):
        return server + quote(os.fsencode(file))
    return file.as_uri()


@contextmanager
def serving_pages(workspace: Workspace, port: int) -> Iterator[str]:
    """Serves a workspace's pages while the context is open, and yields the server's URL.

    Args:
        workspace: The workspace; it need not exist yet.
        port: Port to listen on; 0 is any free one.

    Raises:
        InputError: The port is in use.
    """
    try:
        server = _PageServer((_HOST, port), _Handler)
    except OSError as error:
        raise InputError(
            f"--pages-port {port}: the port is in use ({error.strerror}). Choose another, or leave the option out for a"
            " free one."
        ) from error
    server.workspace = workspace
    thread = threading.Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def served_file(workspace: Workspace, target: str) -> Path | None:
    """Returns the file that a request names, or None if it is none that may be served.

    Symbolic links and `..` are resolved before the file's folder is compared.

    Args:
        workspace: The workspace.
        target: Path of the request, percent-encoded: the absolute path of the file.
    """
    path = Path(os.fsdecode(unquote_to_bytes(target.partition("?")[0])))
    if not path.is_absolute():
        return None
    try:
        file = path.resolve(strict=True)
        places = [(folder.resolve(strict=True), suffixes) for folder, suffixes in _places(workspace)]
        allowed = any(file.is_relative_to(place) and file.suffix.lower() in suffixes for place, suffixes in places)
    except (OSError, ValueError, RuntimeError):  # missing; a null byte; a loop of links
        return None
    return file if allowed and file.is_file() else None


def _places(workspace: Workspace) -> list[tuple[Path, Collection[str]]]:
    """Returns the existing folders that are served, with the suffixes that are served from each."""
    places: list[tuple[Path, Collection[str]]] = [(workspace.evaluation, _MEDIA_TYPES), (workspace.manifests, _PAGES)]
    with suppress(RecolorError):  # no folder has been indexed yet
        places.append((image_folder(workspace, None), _PICTURES))
    return [(folder, suffixes) for folder, suffixes in places if folder.is_dir()]


def _list_of_pages(workspace: Workspace) -> bytes:
    """Returns a page of links to the workspace's pages, the newest first."""
    pages = [page for folder in (workspace.evaluation, workspace.manifests) for page in folder.glob("*.html")]
    pages.sort(key=lambda page: page.stat().st_mtime, reverse=True)
    links = "".join(
        f'<li><a href="{quote(os.fsencode(page))}">{html.escape(str(page.relative_to(workspace.root)))}</a></li>'
        for page in pages
    )
    title = f"Recolor: {html.escape(str(workspace.root))}"
    items = f"<ul>{links}</ul>" if pages else "<p>There are no pages yet: they are written by evaluate and gallery.</p>"
    return f'<!doctype html><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{items}'.encode(
        errors="replace"
    )


class _PageServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    workspace: Workspace


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; the base class refuses every other method."""

    server: _PageServer
    timeout = _TIMEOUT_S
    server_version = "Recolor"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hosts = {f"{name}:{self.server.server_port}" for name in (_HOST, "localhost")}
        if self.headers.get("Host") not in hosts:  # a page of another site, whose name leads to this machine
            self.send_error(HTTPStatus.FORBIDDEN, explain="This server answers to its own address only.")
            return
        with suppress(BrokenPipeError, ConnectionResetError, TimeoutError):  # the browser does not wait for the rest
            if self.path == "/":
                page = _list_of_pages(self.server.workspace)
                self._begin(_PAGES[".html"], len(page))
                if self.command == "GET":
                    self.wfile.write(page)
                return
            self._send_file()

    def _send_file(self) -> None:
        file = served_file(self.server.workspace, self.path)
        try:
            opened = file.open("rb") if file else None
        except OSError:
            opened = None
        if file is None or opened is None:
            self.send_error(HTTPStatus.NOT_FOUND, explain="There is no such page, or it is none of this workspace.")
            return
        with opened:
            self._begin(_MEDIA_TYPES[file.suffix.lower()], os.fstat(opened.fileno()).st_size)
            if self.command == "GET":
                shutil.copyfileobj(opened, self.wfile)

    def _begin(self, media_type: str, size_bytes: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(size_bytes))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Logs nothing: the terminal is that of `recolor up`."""
