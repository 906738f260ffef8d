"""Who calls, checked before anything else is done."""

import math
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.access import grants
from infra.access.caller import ANYBODY, Caller, CredentialError, UndecidedError
from infra.access.gate import bearer
from infra.access.limiting import Limiter
from infra.access.sessions import COOKIE
from infra.http.auditing import Audited, address_of
from infra.http.problems import Kind, ProblemError, problem_response
from infra.http.services import Services
from infra.http.watching import POLICY_VIOLATION, watched

SESSION_PATH = "/api/session"
LOGIN_PATH = "/login"
_PUBLIC = frozenset({("GET", LOGIN_PATH), ("HEAD", LOGIN_PATH), ("POST", SESSION_PATH)})
"""By these one shows who one is."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_CHALLENGE = 'Bearer realm="twinstream"'
_WHOLE = "x-whole-instance"


def needs(scope: grants.Scope, *, whole: bool = False) -> dict[str, Any]:
    """`openapi_extra` of an endpoint that needs another scope than `read`, or callers without limits (`whole`).

    What is described is what is enforced: `permitted` reads it from there.
    """
    return {"security": [{"bearer": [str(scope)]}]} | ({_WHOLE: True} if whole else {})


PUBLIC: dict[str, Any] = {"security": []}
"""`openapi_extra` of an endpoint by which one shows who one is."""
ANY_CALLER: dict[str, Any] = {"security": [{"bearer": []}]}
"""`openapi_extra` of an endpoint for whoever showed who they are, whatever their scopes."""


def needed(route: object) -> tuple[grants.Scope | None, bool]:
    """Scope that an endpoint needs, None for none, and whether only callers without limits may use it.

    One that says nothing needs `read`, and `admin` when it changes something.
    """
    extra = (route.openapi_extra if isinstance(route, APIRoute) else None) or {}
    methods: set[str] = getattr(route, "methods", None) or set()
    usual = grants.Scope.READ if methods <= _SAFE_METHODS else grants.Scope.ADMIN
    security = extra.get("security", [{"bearer": [usual]}])
    scopes = security[0]["bearer"] if security else []
    return (grants.Scope(scopes[0]) if scopes else None), bool(extra.get(_WHOLE))


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
            await self._app(scope, *watched(lambda: self._services.gate.good(caller), receive, send))
        elif scope["method"] in _SAFE_METHODS or scope["path"] == SESSION_PATH:
            await self._app(scope, receive, send)
        else:
            await Audited(self._services, caller, scope, receive, send).run(self._app)

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
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        wants_page = "text/html" in Headers(scope=scope).get("accept", "")
        if error.kind is Kind.UNAUTHENTICATED and wants_page and scope["method"] == "GET":
            query = scope["query_string"].decode("latin-1")
            target = scope["path"] + (f"?{query}" if query else "")
            await RedirectResponse(f"{LOGIN_PATH}?next={quote(target, safe='')}", 303)(scope, receive, send)
            return
        await problem_response(error, scope["path"])(scope, receive, send)


def session_cookie(headers: Headers) -> str:
    """Value of the session's cookie, `""` when there is none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
