"""Tokens and the audit trail in Kafka."""

import asyncio
from collections import deque
from typing import Protocol

import structlog

from infra.access.audit import AuditWriter, Entry
from infra.access.tokens import Token, TokenTable
from schemas.errors import TwinstreamError
from schemas.headers import Headers
from schemas.messages import encode
from schemas.topics import AUDIT, TOKENS

_BACKLOG = 10_000
_RETRY_S = 1.0

log = structlog.get_logger(__name__)


class Writer(Protocol):
    """Writes single records to the log."""

    async def write(self, topic: str, key: bytes, value: bytes, headers: Headers) -> tuple[int, int]:
        """Make one record durable."""


class TokenLog:
    """Changes tokens: durable first, then in force at once here; other APIs hear of it from the log."""

    def __init__(self, writer: Writer, table: TokenTable) -> None:
        self._writer = writer
        self._table = table

    async def put(self, token: Token) -> None:
        """Make or change a token.

        Raises:
            LogUnavailableError: the log did not confirm it in time; it may still take effect.
        """
        await self._writer.write(TOKENS, token.id.encode(), encode(token), [])
        self._table.put(token)


class AuditLog(AuditWriter):
    """Writes entries; what Kafka does not take now is kept, bounded, and tried again."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._backlog: deque[Entry] = deque()
        self._wake = asyncio.Event()

    async def write(self, entry: Entry) -> None:
        """Make an entry durable; one that fails is tried again in the background.

        Raises:
            LogUnavailableError: that was not confirmed in time.
        """
        try:
            await self._send(entry)
        except TwinstreamError:
            self.later(entry)
            raise

    def later(self, entry: Entry) -> None:
        """Make an entry durable as soon as that can be; beyond many that wait, the role's log has it alone."""
        if len(self._backlog) >= _BACKLOG:
            log.error("the audit trail can't be written", entry=encode(entry).decode())
            return
        self._backlog.append(entry)
        self._wake.set()

    async def run(self) -> None:
        """Write what waits until cancelled; then what is left goes into the role's log."""
        try:
            while True:
                await self._wake.wait()
                while self._backlog:
                    try:
                        await self._send(self._backlog[0])
                        self._backlog.popleft()
                    except TwinstreamError:
                        await asyncio.sleep(_RETRY_S)
                self._wake.clear()
        finally:
            for entry in self._backlog:
                log.error("the audit trail can't be written", entry=encode(entry).decode())

    async def _send(self, entry: Entry) -> None:
        await self._writer.write(AUDIT, entry.id.encode(), encode(entry), [])
