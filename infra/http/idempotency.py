"""Requests that a client may repeat: a key makes all of them one."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from fastapi import Header
from starlette.responses import Response

from infra.access.caller import Caller
from infra.http.problems import Kind, ProblemError
from schemas.clock import NS_PER_S, Clock
from schemas.messages import stable_id

KEPT_NS = 24 * 3600 * NS_PER_S
REPLAYED = "idempotent-replayed"
_RUNNING = 0
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, content TEXT NOT NULL, began_ns INTEGER NOT NULL, status INTEGER NOT NULL, body BLOB);
CREATE INDEX IF NOT EXISTS by_time ON answers (began_ns);
"""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="Of the client's choice: a repeat with the same key within 24 h is answered as the first was, and"
        " does nothing.",
        examples=["6f9b1c52-8a43-4c0e-9a0e-0d6a3f3f7f2e"],
    ),
]

log = structlog.get_logger(__name__)


class Answered:
    """What keyed requests were answered, in a file, so that a start of the API forgets none.

    Args:
        file: Where to keep it; None: in memory.
        clock: Where to ask for the time.
    """

    def __init__(self, file: Path | None, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[str, asyncio.Future[None]] = {}
        try:
            self._base = _opened(file)
        except sqlite3.DatabaseError as error:
            log.warning("keys of requests are kept in memory", file=str(file), error=str(error))
            self._base = _opened(None)

    async def once(
        self, caller: Caller, key: str | None, what: str, content: object, do: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Answer a request; one with a key that was answered before is answered so again.

        Args:
            caller: Whose key it is.
            key: As given; None: none.
            what: Method and path.
            content: The body. Another one under the same key is a mistake of the client.
            do: Carries the request out.

        Raises:
            ProblemError: the key stands for another body, or nobody knows what became of the request.
        """
        if key is None:
            return await do()
        name = stable_id("idempotency", caller.credential, what, key)
        digest = hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
        while (running := self._running.get(name)) is not None:
            await asyncio.wait({running})
        if (answer := self._known(name, digest)) is not None:
            return answer
        self._running[name] = asyncio.get_running_loop().create_future()
        try:
            return await self._first(name, digest, do)
        finally:
            self._running.pop(name).set_result(None)

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    async def _first(self, name: str, digest: str, do: Callable[[], Awaitable[Response]]) -> Response:
        now_ns = self._clock.now_ns()
        self._base.execute("DELETE FROM answers WHERE began_ns < ?", (now_ns - KEPT_NS,))
        self._base.execute("INSERT INTO answers VALUES (?, ?, ?, ?, NULL)", (name, digest, now_ns, _RUNNING))
        try:
            response = await do()
        except ProblemError as error:
            if not error.in_doubt:
                self._base.execute("DELETE FROM answers WHERE key = ?", (name,))
            raise
        body = bytes(response.body)
        self._base.execute("UPDATE answers SET status = ?, body = ? WHERE key = ?", (response.status_code, body, name))
        return response

    def _known(self, name: str, digest: str) -> Response | None:
        row = self._base.execute(
            "SELECT content, status, body FROM answers WHERE key = ? AND began_ns >= ?",
            (name, self._clock.now_ns() - KEPT_NS),
        ).fetchone()
        if row is None:
            return None
        content, status, body = row
        if content != digest:
            raise ProblemError(Kind.KEY_TAKEN, "this Idempotency-Key was sent with another body")
        if status == _RUNNING:
            detail = (
                "it was asked for before, and the log did not confirm it: it may have taken effect. Look at the twin,"
                " or ask with another Idempotency-Key"
            )
            raise ProblemError(Kind.IN_DOUBT, detail)
        return Response(body, status, headers={REPLAYED: "true"}, media_type="application/json")


def _opened(file: Path | None) -> sqlite3.Connection:
    base = sqlite3.connect(file or ":memory:", check_same_thread=False, isolation_level=None)
    try:
        base.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLE}")
    except BaseException:
        base.close()
        raise
    return base
