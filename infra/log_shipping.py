"""Log lines on their way to the topic `twinstream.logs`: from a thread of its own, beside whatever the role does."""

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self

from aiokafka.errors import KafkaError

from infra.logs import Backlog
from schemas.topics import LOGS
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter

_LOOK_S = 0.5
_LAST_LINES_S = 1.0


class LogShipper:
    """Ships the backlog while entered; lines wait while Kafka is away, as many as the backlog holds."""

    def __init__(self, backlog: Backlog, options: KafkaOptions, role: str) -> None:
        self._backlog = backlog
        self._options = options
        self._key = role.encode()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ship the last lines if that is quickly done, and end."""
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(2 * _LAST_LINES_S + 1.0)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._ship())

    async def _ship(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        async with LogWriter(self._options, linger_ms=50) as writer:
            try:
                while True:
                    await self._empty(writer)
                    await asyncio.sleep(_LOOK_S)
            except asyncio.CancelledError:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._empty(writer), _LAST_LINES_S)

    async def _empty(self, writer: LogWriter) -> None:
        lines = self._backlog.lines
        while lines:
            try:
                written = await writer.send(LOGS, self._key, lines[0])
            except KafkaError:
                return  # still there for the next round
            lines.popleft()
            written.add_done_callback(_seen)


def _seen(written: asyncio.Future[tuple[int, int]]) -> None:
    """A line that was lost on the way is in the role's log file all the same."""
    if not written.cancelled():
        written.exception()
