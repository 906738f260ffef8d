"""What keeps foreign web pages out: checks of Host, Origin, media type and size before anything else runs."""

import asyncio
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.access.origin import Origin, host_and_port, host_as_written
from infra.http.problems import Kind, ProblemError, problem_response

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
BODY_LIMIT_BYTES = 256 * 1024
BODY_TIMEOUT_S = 10.0

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_WITHOUT_BODY = frozenset({"DELETE", "TRACE"})
"""They have no body that could be of another kind, and a page can't send them without asking first."""
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
_ONLY_HTTPS = {"strict-transport-security": "max-age=31536000"}
"""A year, and this host alone: what its subdomains speak is not ours to say."""


class Guard:
    """ASGI middleware that refuses what a web page of another site could send.

    A page can make a browser send requests to loopback (cross-site request forgery), or have its own name resolve to
    loopback (DNS rebinding). So Host must be one of ours, Origin (which a page can't leave out of a write) must be
    our own, and a write must be `application/json`, which a page can't send without asking first. No CORS header is
    ever sent, so asking first fails.

    Args:
        app: What is guarded.
        hosts: Further names, besides loopback, that a Host header may carry.
        public: Where a proxy makes us reachable; None: nowhere.
        body_limit_bytes: Most bytes of a body.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] = (),
        public: Origin | None = None,
        body_limit_bytes: int = BODY_LIMIT_BYTES,
    ) -> None:
        self._app = app
        self._public = public
        self._hosts = (
            LOOPBACK_NAMES | {host_as_written(host) or host for host in hosts} | ({public.host} if public else set())
        )
        # Browsers hold it against every port of the host, so that it is said only where the host is ours.
        self._https_host = public.host if public and public.is_https and public.owns_host else None
        self._body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        headers = Headers(scope=scope)
        own = self._own_headers(headers)

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in own.items():
                    answered.setdefault(name, value)
            await send(message)

        try:
            self._check_page(headers, scope["scheme"])
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
            self._check_page(headers, "https" if scope["scheme"] == "wss" else "http")
        except ProblemError:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        await self._app(scope, receive, send)

    def _own_headers(self, headers: Headers) -> dict[str, str]:
        named = host_and_port(headers.get("host", ""))
        return _HEADERS | (_ONLY_HTTPS if named and named[0] == self._https_host else {})

    def _check_page(self, headers: Headers, scheme: str) -> None:
        host, port = checked_host(headers, self._hosts)
        own = () if self._public and host == self._public.host else (Origin.of(scheme, host, port),)
        # Under the public name only the public origin is ours: the proxy speaks plain HTTP to us, which must not
        # make a page ours that came over plain HTTP, and may be somebody else's on the way.
        check_origin(headers, (*own, self._public) if self._public else own)

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
    named = host_and_port(given[0]) if len(given) == 1 else None
    if named is None or named[0] not in hosts:
        shown = ascii(", ".join(given))[:80]
        detail = (
            f"Host is {shown}; reach this server by a loopback name, or the configured http.public_url, http.host or"
            " http.allowed_hosts"
        )
        raise ProblemError(Kind.FOREIGN_HOST, detail)
    return named


def check_origin(headers: Headers, own: Collection[Origin]) -> None:
    """Accept no Origin, or one of our own.

    Raises:
        ProblemError: another origin; `null` is one.
    """
    for origin in headers.getlist("origin"):
        if Origin.parse(origin) not in own:
            ours = " or ".join(map(str, own))
            raise ProblemError(Kind.FOREIGN_ORIGIN, f"Origin is {ascii(origin)[:80]}, not {ours}")


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
