"""Runs the server of `recolor app`."""

import signal
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn

from recolor.app.access import Access
from recolor.app.application import make_app
from recolor.app.models import BackgroundModels, load_models
from recolor.app.photos import Photographs
from recolor.config.settings import ColorizeDevice, MeasureConfig
from recolor.errors import InputError
from recolor.pipeline.workspace import Workspace

DEFAULT_PORT = 8710
_ANY_ADDRESS = ("", "0", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_SHUTDOWN_S = 3  # for requests in progress


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """What the server is started with.

    Attributes:
        workspace: The workspace of the page Decide, if there is one.
        images: Its image folder; None: the one that was indexed last.
        model: Folder of the models; None: those that come with the package.
        device: Device of the models.
        host: Address to listen on.
        port: Port to listen on; None: `DEFAULT_PORT`, or any free one if that is in use.
        opens_browser: Whether the page is opened in a browser.
    """

    workspace: Workspace | None = None
    images: Path | None = None
    model: Path | None = None
    device: ColorizeDevice = "auto"
    host: str = "127.0.0.1"
    port: int | None = None
    opens_browser: bool = True


def serve(options: AppOptions, say: Callable[[str], None]) -> None:
    """Serves the page until it is interrupted.

    Args:
        options: What it is started with.
        say: Shows a line to the person who started it, such as the page's address.

    Raises:
        InputError: The address or the port cannot be used.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped container removes its photographs, too
    access = Access(options.host)
    with closing(_listening(options.host, options.port)) as listening:
        models = BackgroundModels(partial(load_models, options.model, options.device))
        with closing(Photographs(models, MeasureConfig())) as photographs:
            app = make_app(access, models, photographs, options.workspace, options.images)
            link = page_link(access, listening.getsockname()[1])
            say(f"Recolor: {link}  (Ctrl-C stops it)")
            if access.is_remote:
                say("Everyone who has this link can use the page, and the connection is not encrypted.")
            if options.opens_browser:
                threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()  # one of text runs on
            config = uvicorn.Config(
                app, log_level="warning", server_header=False, timeout_graceful_shutdown=_SHUTDOWN_S, lifespan="off"
            )
            uvicorn.Server(config).run(sockets=[listening])


def page_link(access: Access, port: int) -> str:
    """Returns the address of the page; with the token, if others than this machine can reach it."""
    name = _own_address() if access.host in _ANY_ADDRESS else access.host
    place = f"[{name}]" if ":" in name else name
    return f"http://{place}:{port}/" + (f"?token={access.token}" if access.is_remote else "")


def _listening(host: str, port: int | None) -> socket.socket:
    """Returns a socket that listens on a port, or on any free one if the default port is in use."""
    wanted = (DEFAULT_PORT, 0) if port is None else (port,)
    is_dual = host == "::" and socket.has_dualstack_ipv6()  # the link that is shown has a number of IPv4
    for number in wanted:
        try:
            return socket.create_server(
                (host, number),
                family=socket.AF_INET6 if ":" in host else socket.AF_INET,
                backlog=128,
                dualstack_ipv6=is_dual,
            )
        except OSError as error:
            if number == wanted[-1]:
                raise InputError(
                    f"--host {host} --port {number}: cannot be used ({error.strerror}). Choose another port, or leave"
                    " it out."
                ) from error
    raise AssertionError("one port is always tried")


def _own_address() -> str:
    """Returns the address of this machine in its network, or its name if it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737); UDP sends nothing to connect
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
