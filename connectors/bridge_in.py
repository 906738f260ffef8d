"""From a broker into Kafka: acknowledged, in order, only when what became of a message is durable."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import msgspec
import structlog
from aiokafka.errors import MessageSizeTooLargeError

from connectors.connector import Connector
from connectors.flight import Flight, Flying, Written, both
from connectors.intake import Counted, Entry, Intake
from connectors.observer import BridgeObserver, Silent
from connectors.ports import BrokerAwayError, Delivery, Inlet, Writer
from connectors.reconnect import LEAVE_TIMEOUT_S, Outage, Reachability, first_failure, leaving_within
from schemas.clock import Clock
from schemas.errors import TwinstreamError
from schemas.headers import TRACEPARENT
from schemas.trace import NO_TRACER, Span, Tracer, handed_on
from streams.log.retry import LONGEST_DELAY_S

if TYPE_CHECKING:
    from streams.log.writer import NewRecord

log = structlog.get_logger(__name__)

_GATHER_S = 0.02
"""So long messages wait for others to be written with, where one came right before; a request to Kafka costs as much as
some twenty messages."""
_PORTION_BYTES = 4 * 1024 * 1024
"""So much is handed to Kafka at once, of packed messages unpacked."""


_Taken = tuple[Delivery, Entry | None, Span | None]
"""A delivery, what it becomes, and what is told of it."""


class _WriteFailedError(TwinstreamError):
    """Kafka refused a record for good: nothing after it may be acknowledged, so the bridge starts anew."""


class InboundBridge:
    """Moves deliveries of one broker into the input topics; `run` until cancelled.

    Kafka being away holds the broker back: nothing is acknowledged, at most twice `connector.max_in_flight` deliveries
    wait here (and as many in the inlet), or so many `IN_FLIGHT_BYTES`, each as it came and as it is written, and
    everything goes on by itself when Kafka is back.

    Args:
        connector: The broker.
        writer: Makes a new writer of Kafka's log.
        known_type: Whether a qualified type name is deployed.
        reachability: What both bridges of a broker say about it together.
        tracer: Is told of messages that say which trace they belong to.
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
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._connector = connector
        self._name = connector.name
        self._writer = writer
        self._intake = Intake(connector.inbound, known_type, lambda: uuid.uuid4().hex)
        self._observer = observer or Silent()
        self._tracer = tracer
        self._alone = 0
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
                flight = Flight(self._connector.max_in_flight)
                await first_failure(self._take(inlet, writer, flight), self._acknowledge(inlet, flight))
        except BrokerAwayError as error:
            await asyncio.sleep(self._outage.began(error))
        finally:
            self._observer.in_flight(0)

    async def _take(self, inlet: Inlet, writer: Writer, flight: Flight) -> None:
        loop = asyncio.get_running_loop()
        next_s = 0.0
        while True:
            await flight.room()
            if (early_s := next_s - loop.time()) > 0:
                await asyncio.sleep(early_s)
            deliveries = await inlet.receive()
            next_s = loop.time() + _GATHER_S
            self._observer.received(len(deliveries), sum(len(delivery.payload) for delivery in deliveries))
            for portion in self._portions(deliveries):
                await flight.room()
                written = await self._written(writer, [entry for _, entry, _ in portion])
                flight.add(
                    Flying(delivery, entry, durable, alone=len(portion) == 1, span=span)
                    for (delivery, entry, span), durable in zip(portion, written, strict=True)
                )
            self._observer.in_flight(len(flight))

    def _portions(self, deliveries: Sequence[Delivery]) -> Iterator[list[_Taken]]:
        """What to write together: each alone while Kafka's refusal of one among many is looked into.

        A portion is bounded in bytes, and made when it is asked for: packed payloads may be a thousand times as large.
        """
        portion: list[_Taken] = []
        size_bytes = 0
        for delivery in deliveries:
            entry, span = self._intake.entry(delivery), None
            if delivery.traceparent and entry is not None:
                entry, span = self._traced(delivery, entry)
            portion.append((delivery, entry, span))
            size_bytes += len(entry.value) if entry else 0
            if self._alone or size_bytes >= _PORTION_BYTES:
                self._alone = max(0, self._alone - 1)
                yield portion
                portion, size_bytes = [], 0
        if portion:
            yield portion

    def _traced(self, delivery: Delivery, entry: Entry) -> tuple[Entry, Span | None]:
        """An entry that says which trace it belongs to, and what is told of it."""
        attributes: dict[str, str | int] = {
            "messaging.system": self._name,
            "messaging.destination.name": delivery.address,
            "messaging.operation.type": "receive",
            "twinstream.type": entry.type,
            "twinstream.twin": (entry.key or b"").decode(),
            "twinstream.deadletter": entry.reason,
        }
        span = self._tracer.begin(
            f"bridge {self._name} in", "consumer", delivery.traceparent, attributes, delivery.received_ns
        )
        parent = handed_on(span, delivery.traceparent)
        return msgspec.structs.replace(entry, headers=[*entry.headers, (TRACEPARENT, parent)]), span

    async def _written(self, writer: Writer, entries: Sequence[Entry | None]) -> list[Written | None]:
        records: list[NewRecord] = []
        for entry in entries:
            if entry is not None:
                records.append((entry.topic, entry.key, entry.value, entry.headers))
                if (note := entry.note) is not None:
                    records.append((note.topic, note.key, note.value, note.headers))
        try:
            sent = iter(await writer.send_many(records))
        except Exception as error:
            raise _WriteFailedError(f"{type(error).__name__}: {error}") from error
        return [
            None if entry is None else next(sent) if entry.note is None else both(next(sent), next(sent))
            for entry in entries
        ]

    async def _acknowledge(self, inlet: Inlet, flight: Flight) -> None:
        while True:
            done = await self._durable(flight)
            counts = Counter([one.counted for one in done])
            for one in done:
                if one.span is not None:
                    one.span.end()
            if echoed := counts.pop(None, 0):
                self._observer.echoed(echoed)
            for counted, records in counts.items():
                if counted is not None:
                    self._count(counted, records)
            await inlet.acknowledge(done[-1].delivery)
            self._observer.in_flight(len(flight))

    def _count(self, counted: Counted, records: int) -> None:
        type_name, kind, reason = counted
        if reason:
            self._observer.dead_lettered(type_name, reason, records)
        else:
            self._observer.written(type_name, kind, records)

    async def _durable(self, flight: Flight) -> list[Flying]:
        """The longest run of deliveries at the head of the flight that are durable; at least one."""
        done: list[Flying] = []
        while not done or flight.head_is_done():
            flying = await flight.head()
            written = flying.written
            if written is not None:
                if not written.done():
                    await asyncio.wait((written,))
                error = asyncio.CancelledError() if written.cancelled() else written.exception()
                if error is not None:
                    raise self._refused(flying, error)
            done.append(flying)
            flight.land()
        return done

    def _refused(self, flying: Flying, error: BaseException) -> _WriteFailedError:
        if isinstance(error, MessageSizeTooLargeError):
            if flying.alone:
                self._intake.too_large(flying.type, flying.size)
            else:
                # Whatever may have been on the way comes again.
                self._alone = 2 * self._connector.max_in_flight
        return _WriteFailedError(f"{flying.delivery.source}: {type(error).__name__}: {error}")
