"""What keeps foreign web pages out: checks of Host, Origin, media type and size before anything else runs."""

import asyncio
import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.problems import Kind, ProblemError, problem_response

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
BODY_LIMIT_BYTES = 256 * 1024
BODY_TIMEOUT_S = 10.0

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?", re.ASCII)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_WITHOUT_BODY = frozenset({"DELETE", "TRACE"})
"""They have no body that could be of another kind, and a page can't send them without asking first."""
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_POLICY_VIOLATION = 1008
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """ASGI middleware that refuses what a web page of another site could send.

    A page can make a browser send requests to loopback (cross-site request forgery), or have its own name resolve to
    loopback (DNS rebinding). So Host must be one of ours, Origin (which a page can't leave out of a write) must be
    our own, and a write must be `application/json`, which a page can't send without asking first. No CORS header is
    ever sent, so asking first fails.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] = (), body_limit_bytes: int = BODY_LIMIT_BYTES) -> None:
        self._app = app
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            headers = Headers(scope=scope)
            host, port = checked_host(headers, self._hosts)
            check_origin(headers, scope["scheme"], host, port)
            if scope["method"] not in _SAFE_METHODS:
                if scope["method"] not in _WITHOUT_BODY:
                    check_media_type(headers)
                    check_encoding(headers)
                receive = replayed(await self._body(headers, receive), receive)
        except ProblemError as error:
            await problem_response(error, scope["path"])(scope, receive, hardened)
            return
        await self._app(scope, receive, hardened)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A page of another site may open a websocket to us, with our cookies, and is told nothing of a preflight."""
        try:
            headers = Headers(scope=scope)
            host, port = checked_host(headers, self._hosts)
            check_origin(headers, "https" if scope["scheme"] == "wss" else "http", host, port)
        except ProblemError:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        await self._app(scope, receive, send)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        limit = self._body_limit_bytes
        too_large = ProblemError(Kind.TOO_LARGE, f"the body may hold {limit} bytes", headers={"connection": "close"})
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared[:20]) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            detail = f"the body took longer than {BODY_TIMEOUT_S:g} s"
            raise ProblemError(Kind.SLOW_BODY, detail, headers={"connection": "close"}) from None


def checked_host(headers: Headers, hosts: Collection[str]) -> tuple[str, str]:
    """Name and port (`""` for the default one) of the Host header.

    Raises:
        ProblemError: there is not exactly one, or it is none of `hosts`.
    """
    given = headers.getlist("host")
    match = _HOST.fullmatch(given[0].lower()) if len(given) == 1 else None
    if match is None or match[1] not in hosts:
        shown = ascii(", ".join(given))[:80]
        detail = f"Host is {shown}; reach this server by a loopback name or the configured http.host"
        raise ProblemError(Kind.FOREIGN_HOST, detail)
    return match[1], match[2] or ""


def check_origin(headers: Headers, scheme: str, host: str, port: str) -> None:
    """Accept no Origin, or our own.

    Raises:
        ProblemError: another origin; `null` is one.
    """
    default = _DEFAULT_PORTS.get(scheme, "")
    own = f"{scheme}://{host}:{port or default}"
    for origin in headers.getlist("origin"):
        given_scheme, _, rest = origin.lower().partition("://")
        match = _HOST.fullmatch(rest)
        given = f"{given_scheme}://{match[1]}:{match[2] or _DEFAULT_PORTS.get(given_scheme, '')}" if match else ""
        if given != own:
            detail = f"Origin is {ascii(origin)[:80]}, not {scheme}://{host}{':' + port if port else ''}"
            raise ProblemError(Kind.FOREIGN_ORIGIN, detail)


def check_media_type(headers: Headers) -> None:
    """Accept `application/json`, with parameters or without.

    Raises:
        ProblemError: another media type, or none.
    """
    given = headers.getlist("content-type")
    if len(given) != 1 or given[0].partition(";")[0].strip().lower() != "application/json":
        detail = f"Content-Type is {ascii(', '.join(given))[:80]}; send application/json"
        raise ProblemError(Kind.UNSUPPORTED_MEDIA_TYPE, detail, headers={"accept": "application/json"})


def check_encoding(headers: Headers) -> None:
    """Accept a body as it is: what a few compressed bytes swell to is nobody's to decide but ours.

    Raises:
        ProblemError: it is compressed, or says so.
    """
    given = ", ".join(headers.getlist("content-encoding"))
    if given.strip().lower() not in {"", "identity"}:
        detail = f"Content-Encoding is {ascii(given)[:80]}; send the body as it is"
        raise ProblemError(Kind.UNSUPPORTED_MEDIA_TYPE, detail, headers={"accept-encoding": "identity"})


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` first."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again
