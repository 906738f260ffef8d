"""The loss account kept: saved when it changes, published every minute."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from infra.http.account import Accounts, Sums
from infra.http.services import LogUnavailableError, RecordWriter
from infra.put_file import put_file
from schemas.clock import Clock
from schemas.topics import ACCOUNT

PUBLISH_INTERVAL_S = 60.0
_SAVE_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


class AccountLog:
    """Keeps the file and the topic current for as long as the process lives.

    Args:
        accounts: What to keep.
        writer: Writes to the topic.
        clock: Where to ask for the time.
        is_current: Whether everything was read that was there at the start: nothing older is published.
    """

    def __init__(self, accounts: Accounts, writer: RecordWriter, clock: Clock, is_current: Callable[[], bool]) -> None:
        self._accounts = accounts
        self._writer = writer
        self._clock = clock
        self._is_current = is_current
        self._published: Sums = {}

    async def run(self) -> None:
        """Work until cancelled."""
        due_s = self._clock.monotonic_s()
        while True:
            await asyncio.sleep(_SAVE_INTERVAL_S)
            await self.save()
            if self._clock.monotonic_s() >= due_s and self._is_current():
                due_s = self._clock.monotonic_s() + PUBLISH_INTERVAL_S
                await self.publish()

    async def publish(self) -> None:
        """Write what is not as it was when it was last published."""
        for (type_name, source), figures in self._accounts.sums().items():
            if self._published.get((type_name, source)) == figures:
                continue
            row = {"source": source, "type": type_name, **msgspec.to_builtins(figures), "time_ns": self._clock.now_ns()}
            try:
                await self._writer.write(ACCOUNT, f"{type_name}/{source}".encode(), msgspec.json.encode(row), [])
            except LogUnavailableError as error:
                log.info("the account is not published now", error=str(error))
                return
            self._published[type_name, source] = figures

    async def save(self) -> None:
        """Write the file, if it is not as it should be."""
        file, due = self._accounts.file, self._accounts.due()
        if file is not None and due is not None:
            await asyncio.to_thread(_replace, file, due)


def _replace(file: Path, content: bytes) -> None:
    try:
        put_file(file, content)
    except OSError as error:
        # It is in the log, from where it is read again.
        log.warning("the account can't be saved", file=str(file), error=str(error))
