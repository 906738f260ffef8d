"""What callers changed, or tried to change, told to the audit trail."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.access import grants
from infra.access.audit import Entry, entry_of
from infra.access.caller import Caller
from infra.http.problems import Kind, ProblemError, problem_response
from infra.http.services import LogUnavailableError, Services

_CONTENT_BYTES = 4096


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


class Audited:
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
        """Have it answered."""
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
