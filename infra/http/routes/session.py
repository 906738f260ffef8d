"""Sessions of browsers: one logs in by showing a token once."""

import secrets
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from infra.access.audit import entry_of
from infra.access.caller import Caller, CredentialError, UndecidedError
from infra.access.sessions import COOKIE
from infra.http.access import ANY_CALLER, LOGIN_PATH, PUBLIC, SESSION_PATH, session_cookie
from infra.http.auditing import address_of
from infra.http.login_page import login_page
from infra.http.models import Login, WhoAmI
from infra.http.problems import Kind, ProblemError, answers
from infra.http.responses import json_response
from infra.http.services import Calling, LogUnavailableError, Services, Using
from schemas.clock import NS_PER_S

router = APIRouter(tags=["access"])


@router.get(
    LOGIN_PATH,
    summary="Show the page to log in",
    openapi_extra=PUBLIC,
    include_in_schema=False,
    response_class=HTMLResponse,
)
async def login(services: Using, next: str = "/") -> Response:  # noqa: A002, ARG001 - the page reads it
    """A page that takes a token, and goes on to `next`, a path of this server; needless where no token is needed."""
    if not services.gate.required:
        return RedirectResponse("/", 303)
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
        " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(login_page(nonce), headers={"content-security-policy": policy})


@router.post(
    SESSION_PATH,
    operation_id="log_in",
    summary="Log in",
    openapi_extra=PUBLIC,
    responses=answers({200: WhoAmI}, Kind.INVALID_VALUES, Kind.UNAVAILABLE),
)
async def begin(services: Using, request: Request, shown: Login) -> Response:
    """Begin a session of a browser: the cookie stands for the token, as long as that is good.

    A session that the browser had before ends.
    """
    try:
        caller = await services.gate.proved(shown.token.strip())
    except CredentialError as error:
        headers = {"www-authenticate": 'Bearer realm="twinstream"'}
        raise ProblemError(Kind.UNAUTHENTICATED, str(error), headers=headers) from None
    except UndecidedError as error:
        raise ProblemError(Kind.UNAVAILABLE, str(error), headers={"retry-after": "1"}) from None
    now_ns = services.gate.now_ns()
    cookie = session_cookie(request.headers)
    if cookie and (earlier := services.gate.sessions.caller(cookie, now_ns)):
        # The browser forgets its cookie now, so that nobody could end that session any more.
        services.gate.sessions.end(cookie)
        await _told(services, earlier, request, "logout")
    await _told(services, caller, request, "login")
    lasts_s = services.session_s
    if caller.expires_ns is not None:
        lasts_s = min(lasts_s, (caller.expires_ns - now_ns) / NS_PER_S)
    cookie = services.gate.sessions.begin(caller, now_ns + round(lasts_s * NS_PER_S))
    response = json_response(_shown(caller))
    secure = _is_secure(services, request)
    response.set_cookie(COOKIE, cookie, max_age=max(1, int(lasts_s)), httponly=True, samesite="lax", secure=secure)
    return response


@router.get(SESSION_PATH, operation_id="get_session", summary="Show who calls", responses=answers({200: WhoAmI}))
async def who_am_i(caller: Calling) -> Response:
    """Who the caller is, and what that permits."""
    return json_response(_shown(caller))


@router.delete(
    SESSION_PATH,
    operation_id="log_out",
    summary="Log out",
    status_code=204,
    openapi_extra=ANY_CALLER,
    responses=answers({204: {"description": "The session is over."}}),
)
async def end(services: Using, request: Request, caller: Calling) -> Response:
    """End the session of this browser, if there is one."""
    cookie = session_cookie(request.headers)
    if cookie:
        services.gate.sessions.end(cookie)
        await _told(services, caller, request, "logout")
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=_is_secure(services, request))
    return response


async def _told(services: Services, caller: Caller, request: Request, action: str) -> None:
    entry = entry_of(
        caller,
        time_ns=services.clock.now_ns(),
        action=action,
        status=200,
        address=address_of(request.scope),
        path=SESSION_PATH,
    )
    try:
        await services.audit.write(entry)
    except LogUnavailableError:
        services.audit.later(entry)  # looking is possible also while Kafka is away


def _is_secure(services: Services, request: Request) -> bool:
    """Whether browsers are to send the cookie over HTTPS alone: a proxy speaks plain HTTP to us all the same."""
    return request.url.scheme == "https" or (services.public is not None and services.public.is_https)


def _shown(caller: Caller) -> dict[str, Any]:
    return {
        "name": caller.name,
        "via": caller.via,
        "scopes": sorted(caller.scopes),
        "types": sorted(caller.grants.types),
        "twins": sorted(caller.grants.twins),
        "expires_ns": caller.expires_ns,
    }
