"""The console in the API's application: which paths are its own, who may open its socket, when it starts and ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache

import structlog
from fastapi import FastAPI
from nicegui import app as pages
from nicegui import ui
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as ASGIScope

from infra.console import shell
from infra.console.desk import KEY, Desk
from infra.console.pages import PATHS
from infra.console.refusal import may_look, not_found, not_permitted, wants_page
from infra.http.access import caller_of

log = structlog.get_logger(__name__)

_ASSETS = "/_nicegui/"
_API = "/api/"
_SOCKET = "/_nicegui_ws/"
_RECONNECT_S = 30.0
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No other host is ever asked for anything; Vue compiles the templates in the page, hence `unsafe-eval`."""


@asynccontextmanager
async def opened(app: FastAPI, desk: Desk) -> AsyncIterator[None]:
    """Serve the console in `app` while entered; once in a process.

    Args:
        app: The API's, whose middleware guards the console's paths too.
        desk: What the pages work with.
    """
    host = _host()
    app.router.routes.append(_ConsoleRoute(host, desk))
    async with host.router.lifespan_context(host):
        try:
            yield
        finally:
            for client in list(pages.clients()):
                client.delete()


@cache
def _host() -> FastAPI:
    """The application that all pages are in: there is one of it in a process."""
    host = FastAPI(openapi_url=None)
    ui.run_with(
        host,
        title=shell.TITLE,
        favicon=shell.STATIC / "icon.svg",
        dark=None,
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=_RECONNECT_S,
        show_welcome_message=False,
    )
    pages.config.socket_io_js_transports = ["websocket"]  # polling would send what is no JSON
    pages.config.quasar_config["loadingBar"]["skipHijack"] = True
    pages.config.vue_config_script = """
        app.use(Quasar, {config: vue_config});
        Quasar.lang.set(Quasar.lang[language.replace('-', '')]);
        window.applyTheme?.();
    """
    return host


class _ConsoleRoute(BaseRoute):
    """The paths of pages, their assets and their socket; everything else stays the API's."""

    path = "console"
    """Label of its answers in the metrics."""

    def __init__(self, inner: ASGIApp, desk: Desk) -> None:
        self._inner = inner
        self._desk = desk

    def matches(self, scope: ASGIScope) -> tuple[Match, ASGIScope]:
        """Whether a request is the console's."""
        path = scope.get("path", "")
        if scope["type"] == "websocket":
            ours = path.startswith(_SOCKET)
        else:
            # The last of all routes: what a browser asks for and nobody has is told by a page.
            ours = scope["method"] == "GET" and (_is_page(path) or (wants_page(scope) and not path.startswith(_API)))
        return (Match.FULL, {"route": self, "endpoint": self._inner}) if ours else (Match.NONE, {})

    async def handle(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Pass on what is permitted."""
        caller = caller_of(scope)
        if scope["type"] == "websocket":
            if may_look(caller):
                scope[KEY] = replace(self._desk, caller=caller)
                await self._inner(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("content-security-policy", _POLICY)
            await send(message)

        if not _is_page(scope["path"]):
            answer: ASGIApp = not_found(scope)
        elif not may_look(caller):
            answer = not_permitted(scope)
        else:
            scope[KEY] = replace(self._desk, caller=caller)
            answer = self._inner
        await answer(scope, receive, with_policy)


def _is_page(path: str) -> bool:
    return (
        path in {"/", "/favicon.ico"}
        or path.startswith(_ASSETS)
        or any(path == start or path.startswith(f"{start}/") for start in PATHS)
    )


async def _on_lost(request: Request, error: Exception) -> Response:  # noqa: ARG001 - what NiceGUI calls
    return not_found(request.scope)


def _on_exception(error: Exception) -> None:
    log.error("the console failed", exc_info=error)


pages.on_exception(_on_exception)
pages.add_exception_handler(404, _on_lost)
