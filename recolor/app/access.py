"""Who may use the page: this machine's browser, or whoever has the link with the token.

A page of another site, open in the same browser, can send requests to 127.0.0.1 too. It cannot read the answers, but a
request can change something, and a name that it owns can be made to lead here (DNS rebinding). So the `Host` of each
request is checked, and what changes something needs the same origin and a token that only this page can read.
"""

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_HEADER = "x-recolor-token"  # noqa: S105 - the name of a header
_COOKIE = "recolor_token"
_READING = ("GET", "HEAD")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_YEAR_S = 365 * 24 * 3600
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "content-security-policy": _PAGE_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of access.

    Attributes:
        host: Address that the server listens on.
        token: Secret of this server, which every change needs.
    """

    host: str = "127.0.0.1"
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def is_remote(self) -> bool:
        """Whether others than this machine can reach the server."""
        return self.host not in _LOOPBACK

    def allows_host(self, host: str) -> bool:
        """Returns whether a request may be addressed to this `Host`: of the loopback interface, or of this machine.

        A server that others can reach is called by a number, or by the name of its machine. Reading needs the token
        there, so a name that was made to lead here sees nothing.
        """
        name = _name(host)
        if name in _LOOPBACK:
            return True
        return self.is_remote and (_is_address(name) or name in _own_names())


def guarded(app: App, access: Access) -> App:
    """Returns the application behind the rules of access, with headers that keep its answers on its own pages."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # start-up and shutdown; a web socket, of which the application has none
            await app(scope, receive, send)
            return
        request = _Request.of(scope)
        if (said := refusal(request, access)) is not None:
            status, text = said
            await _answer(send, status, text)
        elif (link := _link_without_token(request, access)) is not None:
            await _redirect(send, link, access.token)
        else:
            await app(scope, receive, _with_headers(send))

    return guard


@dataclass(frozen=True, slots=True)
class _Request:
    """What of a request decides: method, path, query and headers, whose names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, scope: Scope) -> "_Request":
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        return cls(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)


def refusal(request: _Request, access: Access) -> tuple[int, str] | None:
    """Returns the status and the text with which a request is refused; None if it is allowed."""
    host = request.headers.get("host", "")
    if not access.allows_host(host):
        return 403, "This server answers to its own address only."
    from_site = request.headers.get("sec-fetch-site", "none")
    is_page = request.headers.get("sec-fetch-mode", "navigate") == "navigate" and request.method in _READING
    if from_site not in ("same-origin", "none") and not is_page:
        return 403, "Other sites cannot use this server."
    if request.method not in _READING:
        origin = request.headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return 403, "Other sites cannot change anything here."
        if not _is_token(request.headers.get(TOKEN_HEADER), access):
            return 403, "The token is missing or of an earlier start of the server. Load the page again."
    elif access.is_remote and not _has_token(request, access):
        return 401, "Open the link that `recolor app` printed when it started: it contains the token."
    return None


def _has_token(request: _Request, access: Access) -> bool:
    given = parse_qs(request.query).get("token", [None])[0]
    return any(_is_token(token, access) for token in (given, _cookie(request), request.headers.get(TOKEN_HEADER)))


def _cookie(request: _Request) -> str | None:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _is_token(text: str | None, access: Access) -> bool:
    return text is not None and secrets.compare_digest(text.encode(), access.token.encode())


def _link_without_token(request: _Request, access: Access) -> str | None:
    """Returns the address to go to with the token in a cookie, so that it stays in no history; None if it has none."""
    query = parse_qs(request.query)
    if request.method != "GET" or not _is_token(query.get("token", [None])[0], access):
        return None
    rest = urlencode({name: values for name, values in query.items() if name != "token"}, doseq=True)
    path = "/" + quote(request.path).lstrip("/")  # with two slashes, the first part would be another server
    return path + (f"?{rest}" if rest else "")


def _name(host: str) -> str:
    """Returns the name or the number in a `Host`, without port and brackets, in lower case."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
    return name.removeprefix("[").removesuffix("]").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_names() -> tuple[str, ...]:
    name = socket.gethostname().lower()
    return (name, f"{name.partition('.')[0]}.local") if name else ()


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            added = [(name.encode(), value.encode()) for name, value in _HEADERS.items() if name.encode() not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_with_headers


async def _answer(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _redirect(send: Send, link: str, token: str) -> None:
    cookie = f"{_COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={_YEAR_S}"
    headers = [(b"location", link.encode("latin-1")), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await _with_headers(send)({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
