"""Who calls, checked before anything else is done, and what they changed, told to the audit trail."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.access import grants
from infra.access.audit import Entry, entry_of
from infra.access.caller import ANYBODY, Caller, CredentialError, UndecidedError
from infra.access.gate import bearer
from infra.access.limiting import Limiter
from infra.access.sessions import COOKIE
from infra.http.problems import Kind, ProblemError, problem_response
from infra.http.services import LogUnavailableError, Services

SESSION_PATH = "/api/session"
LOGIN_PATH = "/login"
_PUBLIC = frozenset({("GET", LOGIN_PATH), ("HEAD", LOGIN_PATH), ("POST", SESSION_PATH)})
"""By these one shows who one is."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_CHALLENGE = 'Bearer realm="twinstream"'
_POLICY_VIOLATION = 1008
_CONTENT_BYTES = 4096
_WHOLE = "x-whole-instance"


def needs(scope: grants.Scope, *, whole: bool = False) -> dict[str, Any]:
    """`openapi_extra` of an endpoint that needs another scope than `read`, or callers without limits (`whole`).

    What is described is what is enforced: `permitted` reads it from there.
    """
    return {"security": [{"bearer": [str(scope)]}]} | ({_WHOLE: True} if whole else {})


PUBLIC: dict[str, Any] = {"security": []}
"""`openapi_extra` of an endpoint by which one shows who one is."""


def needed(route: object) -> tuple[grants.Scope | None, bool]:
    """Scope that an endpoint needs, None for none, and whether only callers without limits may use it.

    One that says nothing needs `read`, and `admin` when it changes something.
    """
    extra = (route.openapi_extra if isinstance(route, APIRoute) else None) or {}
    methods: set[str] = getattr(route, "methods", None) or set()
    usual = grants.Scope.READ if methods <= _SAFE_METHODS else grants.Scope.ADMIN
    security = extra.get("security", [{"bearer": [usual]}])
    return (grants.Scope(security[0]["bearer"][0]) if security else None), bool(extra.get(_WHOLE))


def caller_of(scope: Scope) -> Caller:
    """Who sent a request, or opened a websocket; `Access` found it out."""
    caller: Caller = scope["state"]["caller"]
    return caller


async def permitted(request: Request) -> None:
    """Refuse callers without the scope that the endpoint needs.

    Raises:
        ProblemError: naming the scope.
    """
    scope, whole = needed(request.scope["route"])
    caller = caller_of(request.scope)
    if scope is not None and not caller.may(scope):
        held = ", ".join(sorted(caller.scopes)) or "none"
        raise ProblemError(Kind.FORBIDDEN, f"this needs the scope {scope}; the caller has {held}")
    if whole and not caller.grants.unlimited:
        raise ProblemError(Kind.FORBIDDEN, "this is about the whole instance; the caller is limited to some twins")


@asynccontextmanager
async def acting(
    services: Services, caller: Caller, scope: grants.Scope, action: str, type_name: str, twin: str, content: object
) -> AsyncIterator[None]:
    """Let somebody do one thing that is no HTTP request, and tell the audit trail what came of it.

    Raises:
        ProblemError: it is not permitted, or the audit trail could not be told.
    """
    status = 200
    try:
        _check(services, caller, scope, type_name, twin)
        yield
    except ProblemError as error:
        status = error.status
        raise
    except BaseException:
        status = 500
        raise
    finally:
        entry = entry_of(
            caller,
            time_ns=services.clock.now_ns(),
            action=action,
            status=status,
            type=type_name,
            twin=twin,
            content=msgspec.json.encode(content)[:_CONTENT_BYTES].decode(errors="replace"),
        )
        if entry.result == "done":
            await _written(services, entry)
        else:
            services.audit.later(entry)


def _check(services: Services, caller: Caller, scope: grants.Scope, type_name: str, twin: str) -> None:
    if not services.gate.good(caller):
        raise ProblemError(Kind.UNAUTHENTICATED, "what was shown to log in is good no longer: log in again")
    if not caller.may(scope) or not caller.grants.sees(type_name, twin):
        raise ProblemError(Kind.FORBIDDEN, f"this needs the scope {scope} for this twin")


async def _written(services: Services, entry: Entry) -> None:
    try:
        await services.audit.write(entry)
    except LogUnavailableError as error:
        detail = f"it was done, but the log did not confirm the audit record ({error})"
        raise ProblemError(Kind.UNAVAILABLE, detail, headers={"retry-after": "5"}) from None


class Access:
    """ASGI middleware that finds out who calls, and lets nobody else in where somebody is required."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app = app
        self._services = services
        self._limiter = Limiter(services.requests_per_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
        except ProblemError as error:
            await self._refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        if scope["type"] == "websocket":
            await self._app(scope, *self._watched(caller, receive, send))
        elif scope["method"] in _SAFE_METHODS or scope["path"] == SESSION_PATH:
            await self._app(scope, receive, send)
        else:
            await _Audited(self._services, caller, scope, receive, send).run(self._app)

    async def _caller(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        address = address_of(scope)
        try:
            shown, cookie = bearer(headers.getlist("authorization")), session_cookie(headers)
            caller = await self._services.gate.caller(shown, cookie)
        except CredentialError as error:
            self._take(address)
            if (scope.get("method"), scope["path"]) in _PUBLIC:
                return ANYBODY
            challenge = f'{_CHALLENGE}, error="invalid_token", error_description="{error}"'
            raise ProblemError(Kind.UNAUTHENTICATED, str(error), headers={"www-authenticate": challenge}) from None
        except UndecidedError as error:
            raise ProblemError(Kind.UNAVAILABLE, str(error), headers={"retry-after": "1"}) from None
        self._take((caller.credential if caller else "") or address)
        if caller is None:
            if (scope.get("method"), scope["path"]) in _PUBLIC:
                return ANYBODY
            detail = "show a token: `Authorization: Bearer …`"
            raise ProblemError(Kind.UNAUTHENTICATED, detail, headers={"www-authenticate": _CHALLENGE})
        by_cookie = not shown and caller is not ANYBODY
        if by_cookie and scope.get("method", "GET") not in _SAFE_METHODS and "origin" not in headers:
            # A browser tells it with every write; who does not tell it is none, and has no business with a cookie.
            raise ProblemError(Kind.FOREIGN_ORIGIN, "a write in a browser's session needs the header Origin")
        return caller

    def _take(self, caller: str) -> None:
        if wait_s := self._limiter.wait_s(caller):
            headers = {"retry-after": str(math.ceil(wait_s))}
            raise ProblemError(Kind.TOO_MANY_REQUESTS, f"ask again in {wait_s:.3f} s", headers=headers)

    async def _refuse(self, error: ProblemError, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        wants_page = "text/html" in Headers(scope=scope).get("accept", "")
        if error.kind is Kind.UNAUTHENTICATED and wants_page and scope["method"] == "GET":
            query = scope["query_string"].decode("latin-1")
            target = scope["path"] + (f"?{query}" if query else "")
            await RedirectResponse(f"{LOGIN_PATH}?next={quote(target, safe='')}", 303)(scope, receive, send)
            return
        await problem_response(error, scope["path"])(scope, receive, send)

    def _watched(self, caller: Caller, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Ends of a websocket that close once what the caller showed is good no longer."""
        gate = self._services.gate

        async def receive_if_good() -> Message:
            message = await receive()
            if gate.good(caller) or message["type"] == "websocket.disconnect":
                return message
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}

        async def send_if_good(message: Message) -> None:
            if message["type"] != "websocket.send" or gate.good(caller):
                await send(message)

        return receive_if_good, send_if_good


class _Audited:
    """One write: it is answered as done only when the audit trail has it."""

    def __init__(self, services: Services, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        self._services = services
        self._caller = caller
        self._scope = scope
        self._receive = receive
        self._send = send
        self._content = b""
        self._replaced = False

    async def run(self, app: ASGIApp) -> None:
        await app(self._scope, self._heard, self._answered)

    async def _heard(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and len(self._content) < _CONTENT_BYTES:
            self._content = (self._content + message.get("body", b""))[:_CONTENT_BYTES]
        return message

    async def _answered(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            entry = self._entry(message["status"])
            if entry.result == "done":
                try:
                    await _written(self._services, entry)
                except ProblemError as problem:
                    self._replaced = True
                    await problem_response(problem, entry.path)(self._scope, self._receive, self._send)
            else:
                self._services.audit.later(entry)
        if not self._replaced:
            await self._send(message)

    def _entry(self, status: int) -> Entry:
        route = self._scope.get("route")
        named: dict[str, str] = self._scope.get("path_params") or {}
        path = self._scope["path"]
        return entry_of(
            self._caller,
            time_ns=self._services.clock.now_ns(),
            action=f"{self._scope['method']} {getattr(route, 'path', path)}",
            status=status,
            address=address_of(self._scope),
            path=path,
            type=str(named.get("type", "")),
            twin=str(named.get("id", "")) if "type" in named else "",
            content=self._content.decode(errors="replace"),
        )


def address_of(scope: Scope) -> str:
    """The caller's end of the connection."""
    client = scope.get("client")
    return client[0] if client else ""


def session_cookie(headers: Headers) -> str:
    """Value of the session's cookie, `""` when there is none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
