"""Deliveries on their way from a broker into Kafka."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from connectors.intake import Counted, Entry
from connectors.ports import IN_FLIGHT_BYTES, Delivery
from schemas.trace import Span

Written = asyncio.Future[Any]


class Flying:
    """A delivery on its way.

    Attributes:
        counted: What it is counted by; None for nothing.
        type: Deployed type that it belongs to, else `""`.
        size: Of its payload, unpacked, in bytes.
        held: Bytes of it that are held until it is durable.
        written: Done when what it becomes is durable; None for nothing.
        alone: Whether it was handed to Kafka without others.
        span: Ends when it is durable; None for nobody who wants to know.
    """

    __slots__ = ("alone", "counted", "delivery", "held", "size", "span", "type", "written")

    def __init__(
        self,
        delivery: Delivery,
        entry: Entry | None,
        written: Written | None,
        *,
        alone: bool,
        span: Span | None = None,
    ) -> None:
        self.delivery = delivery
        self.counted: Counted | None = None
        self.type, self.size, self.held = "", 0, len(delivery.payload)
        if entry is not None:
            self.counted = entry.counted
            self.type, self.size = entry.type, entry.size
            self.held = max(self.held, len(entry.value))
        self.written = written
        self.span = span
        self.alone = alone


def both(first: Written, second: Written) -> Written:
    """Done when both are; nobody needs to ask for its failure."""
    together = asyncio.gather(first, second)
    together.add_done_callback(lambda done: done.cancelled() or done.exception())
    return together


class Flight:
    """Deliveries between their arrival and their acknowledgement, in order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._queue: deque[Flying] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._queue)

    async def room(self) -> None:
        """Wait until another may fly."""
        await self._room.wait()

    def add(self, some: Iterable[Flying]) -> None:
        """Let deliveries fly, in their order."""
        for one in some:
            self._queue.append(one)
            self._bytes += one.held
        self._some.set()
        if not self._has_room():
            self._room.clear()

    async def head(self) -> Flying:
        """The first, which is waited for."""
        await self._some.wait()
        return self._queue[0]

    def head_is_done(self) -> bool:
        """Whether there is a first whose fate is known."""
        return bool(self._queue) and ((written := self._queue[0].written) is None or written.done())

    def land(self) -> None:
        """Let the first go."""
        self._bytes -= self._queue.popleft().held
        if not self._queue:
            self._some.clear()
        if self._has_room():
            self._room.set()

    def _has_room(self) -> bool:
        return len(self._queue) < self._most and self._bytes < IN_FLIGHT_BYTES
