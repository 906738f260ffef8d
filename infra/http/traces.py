"""Requests that say which trace they belong to."""

from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.tracing import CURRENT
from schemas.headers import TRACEPARENT
from schemas.trace import NO_TRACER, Tracer, handed_on, traceparent_of

_HEADER = TRACEPARENT.encode()


class Traced:
    """ASGI middleware that has the records of a request belong to the request's trace, and tells of it."""

    def __init__(self, app: ASGIApp, *, tracer: Tracer = NO_TRACER) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        parent = traceparent_of(dict(scope["headers"]).get(_HEADER)) if scope["type"] == "http" else b""
        if parent:
            await self._traced(parent, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _traced(self, parent: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
        span = self._tracer.begin(f"api {scope['method']}", "server", parent, attributes)

        answered = False

        def answer(status: int) -> None:
            nonlocal answered
            if span is None or answered:
                return
            answered = True
            # Streams of events go on for hours: what is told is how long it took to answer.
            route: Any = scope.get("route")
            span.add({"http.route": getattr(route, "path", ""), "http.response.status_code": status})
            span.end()

        async def observed(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                answer(message["status"])

        token = CURRENT.set(handed_on(span, parent))
        try:
            await self._app(scope, receive, observed)
        except BaseException:
            # The answer is made of it further out.
            answer(HTTPStatus.INTERNAL_SERVER_ERROR)
            raise
        finally:
            CURRENT.reset(token)
