"""From a broker into Kafka: acknowledged, in order, only when what became of a message is durable."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

import structlog
from aiokafka.errors import MessageSizeTooLargeError

from connectors.connector import Connector
from connectors.intake import Entry, Intake
from connectors.observer import BridgeObserver, Silent
from connectors.ports import BrokerAwayError, Delivery, Inlet, Writer
from connectors.reconnect import LEAVE_TIMEOUT_S, Outage, Reachability, first_failure, leaving_within
from schemas.clock import Clock
from schemas.errors import TwinstreamError
from streams.log.retry import LONGEST_DELAY_S, retrying

log = structlog.get_logger(__name__)

_Written = asyncio.Future[Any]


class _WriteFailedError(TwinstreamError):
    """Kafka refused a record for good: nothing after it may be acknowledged, so the bridge starts anew."""


class InboundBridge:
    """Moves deliveries of one broker into the input topics; `run` until cancelled.

    Kafka being away holds the broker back: nothing is acknowledged, at most `connector.max_in_flight` deliveries wait
    here (and as many in the inlet), and everything goes on by itself when Kafka is back.

    Args:
        connector: The broker.
        writer: Makes a new writer of Kafka's log.
        known_type: Whether a qualified type name is deployed.
        reachability: What both bridges of a broker say about it together.
    """

    def __init__(
        self,
        *,
        connector: Connector,
        writer: Callable[[], Writer],
        known_type: Callable[[str], bool],
        clock: Clock,
        observer: BridgeObserver | None = None,
        reachability: Reachability | None = None,
    ) -> None:
        self._connector = connector
        self._name = connector.name
        self._writer = writer
        self._intake = Intake(connector.inbound, known_type, lambda: uuid.uuid4().hex)
        self._observer = observer or Silent()
        self._outage = Outage("in", clock, self._observer, reachability or Reachability(self._name, clock))

    async def run(self) -> NoReturn:
        """Bridge for ever; a broker or a Kafka that is away is waited for."""
        while True:
            try:
                # Kafka first: nothing is taken from the broker before there is a place to put it.
                async with leaving_within(self._writer(), LEAVE_TIMEOUT_S) as writer:
                    while True:
                        await self._connection(writer)
            except _WriteFailedError as error:
                log.error("kafka refuses a record, starting anew", broker=self._name, reason=str(error))  # noqa: TRY400
                await asyncio.sleep(LONGEST_DELAY_S)

    async def _connection(self, writer: Writer) -> None:
        try:
            async with self._connector.inlet() as inlet:
                self._outage.over()
                flight = _Flight(self._connector.max_in_flight)
                await first_failure(self._take(inlet, writer, flight), self._acknowledge(inlet, flight))
        except BrokerAwayError as error:
            await asyncio.sleep(self._outage.began(error))
        finally:
            self._observer.in_flight(0)

    async def _take(self, inlet: Inlet, writer: Writer, flight: "_Flight") -> None:
        while True:
            await flight.room()
            deliveries = await inlet.receive()
            self._observer.received(len(deliveries), sum(len(delivery.payload) for delivery in deliveries))
            for delivery in deliveries:
                entry = self._intake.entry(delivery)
                flight.add(delivery, entry, await self._written(writer, entry) if entry else None)
            self._observer.in_flight(len(flight))

    async def _written(self, writer: Writer, entry: Entry) -> _Written:
        written = await self._send(writer, entry)
        if entry.note is None:
            return written
        return asyncio.gather(written, await self._send(writer, entry.note))

    async def _send(self, writer: Writer, entry: Entry) -> _Written:
        try:
            return await retrying(
                lambda: writer.send(entry.topic, entry.key, entry.value, headers=entry.headers), f"bridge {self._name}"
            )
        except Exception as error:
            raise _WriteFailedError(f"{entry.topic}: {type(error).__name__}: {error}") from error

    async def _acknowledge(self, inlet: Inlet, flight: "_Flight") -> None:
        while True:
            done = await self._durable(flight)
            echoed = 0
            for _, entry in done:
                if entry is None:
                    echoed += 1
                elif entry.reason:
                    self._observer.dead_lettered(entry.type, entry.reason)
                else:
                    self._observer.written(entry.type, entry.kind)
            if echoed:
                self._observer.echoed(echoed)
            await inlet.acknowledge(done[-1][0])
            self._observer.in_flight(len(flight))

    async def _durable(self, flight: "_Flight") -> list[tuple[Delivery, Entry | None]]:
        """The longest run of deliveries at the head of the flight that are durable; at least one."""
        done: list[tuple[Delivery, Entry | None]] = []
        while not done or flight.head_is_done():
            delivery, entry, written = await flight.head()
            if written is not None:
                if not written.done():
                    await asyncio.wait((written,))
                error = asyncio.CancelledError() if written.cancelled() else written.exception()
                if error is not None:
                    raise self._refused(delivery, error)
            done.append((delivery, entry))
            flight.land()
        return done

    def _refused(self, delivery: Delivery, error: BaseException) -> _WriteFailedError:
        if isinstance(error, MessageSizeTooLargeError):
            self._intake.too_large(delivery)
        return _WriteFailedError(f"{delivery.source}: {type(error).__name__}: {error}")


class _Flight:
    """Deliveries between their arrival and their acknowledgement, in order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[tuple[Delivery, Entry | None, _Written | None]] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    async def room(self) -> None:
        await self._room.wait()

    def add(self, delivery: Delivery, entry: Entry | None, written: _Written | None) -> None:
        self._queue.append((delivery, entry, written))
        self._some.set()
        if len(self._queue) >= self._most:
            self._room.clear()

    async def head(self) -> tuple[Delivery, Entry | None, _Written | None]:
        await self._some.wait()
        return self._queue[0]

    def head_is_done(self) -> bool:
        return bool(self._queue) and (self._queue[0][2] is None or self._queue[0][2].done())

    def land(self) -> None:
        self._queue.popleft()
        if not self._queue:
            self._some.clear()
        if len(self._queue) < self._most:
            self._room.set()
