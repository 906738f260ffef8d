"""Ports of the message brokers: what the bridge needs from a technology, and from the log.

A technology's folder implements `Inlet` and `Outlet`; `connectors.memory.broker` is the reference. Neither is
asked to reconnect: when the broker goes away they say so by raising, and the bridge leaves them, waits and enters
a new one. So everything that belongs to one connection (packet ids, delivery tags) dies with the object.

BrokerAwayError          the broker can't be reached, refused us or is gone; a new connection may succeed
└── BrokerSilentError    it is there and does not answer in time
"""

import asyncio
from collections.abc import Iterable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from schemas.errors import TwinstreamError
from streams.log.record import LogRecord
from streams.log.writer import NewRecord

IN_FLIGHT_BYTES = 32 * 1024 * 1024
"""So many bytes of payload may wait for Kafka, and as many for the bridge, however few messages they are."""


class BrokerAwayError(TwinstreamError, ConnectionError):
    """The broker is away; the message says why, and never holds a secret."""


class BrokerSilentError(BrokerAwayError):
    """The broker does not answer in time; the message names what was waited for."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One message as the broker delivered it.

    Attributes:
        address: MQTT topic or AMQP routing key.
        exchange: AMQP exchange; `""` for MQTT.
        source: The same as dead letters and headers name it: `mqtt:` + topic, `amqp:` + exchange + `/` + key.
        payload: The body, untouched.
        received_ns: Arrival in this process, UTC nanoseconds.
        tag: What the inlet recognises the delivery by when it is acknowledged.
        encoding: How the payload is packed, as the message says (AMQP's content-encoding); `""` for not at all.
        traceparent: As the message says, valid; `b""` for none.
    """

    address: str
    exchange: str
    source: str
    payload: bytes
    received_ns: int
    tag: int
    encoding: str = ""
    traceparent: bytes = b""


class Receipt(StrEnum):
    """What the broker said about a message."""

    TAKEN = "taken"
    UNROUTABLE = "unroutable"  # confirmed, but nobody was there to take it
    REFUSED = "refused"  # the broker will never take it: forbidden, malformed, or the queue is full


class Outgoing(msgspec.Struct, frozen=True):
    """One message to publish.

    Attributes:
        exchange: AMQP exchange; `""` for MQTT.
        address: MQTT topic or AMQP routing key.
        expires_in_s: The broker must not deliver it after this long, if the protocol can say so; None keeps it.
        traceparent: To be told with it, if the protocol can; `b""` for none.
    """

    exchange: str
    address: str
    payload: bytes
    expires_in_s: float | None = None
    traceparent: bytes = b""


class Inlet(Protocol):
    """One connection that receives."""

    async def __aenter__(self) -> Self:
        """Connect and subscribe; called once by the bridge, which calls it on a new inlet after every failure.

        Returns when the broker has confirmed every subscription, so that what is published from now on arrives.

        Raises:
            BrokerAwayError: the bridge waits, longer each time, and enters a new inlet.
        """

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; the broker keeps what was not acknowledged and delivers it to the next inlet."""

    async def receive(self) -> list[Delivery]:
        """All deliveries that have arrived since the last call, in order of arrival; at least one.

        The bridge calls it only while it has room. An inlet that is not called must stop its broker after a
        bounded number of deliveries, not collect them.

        Raises:
            BrokerAwayError: the connection is gone; the bridge leaves this inlet and forgets its deliveries.
        """

    async def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge `delivery` and all before it.

        The bridge calls it in order of arrival, once what became of them is durable in Kafka. On a connection
        that is gone it does nothing: the broker delivers them again.
        """


class Outlet(Protocol):
    """One connection that publishes."""

    @property
    def window(self) -> int:
        """Most messages that `publish` hands over before it waits for an answer; asked after entering.

        The bridge asks for no more at once, except when one message has more routes: what waits for the broker is
        judged anew, because commands expire.
        """

    async def __aenter__(self) -> Self:
        """Connect; called once by the bridge, which calls it on a new outlet after every failure.

        Raises:
            BrokerAwayError: the bridge waits, longer each time, and enters a new outlet.
        """

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""

    async def publish(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        """Publish `messages` in this order; return what the broker said about each.

        Returns when the broker has answered for every one. The bridge then reports commands that it took as sent and
        those that it refused as refused, logs and counts the others, and commits. A message that can't be expressed in
        the protocol is `Receipt.REFUSED`; no other error may come of it.

        Raises:
            BrokerAwayError: at least one has no answer. The bridge enters a new outlet and publishes all of
                them again, except commands that have expired meanwhile; so nothing may stay queued here. One that
                ends connection after connection, published alone, is taken for refused.
            BrokerSilentError: the connection stands and the answer did not come in time; that is no message's fault.
        """

    async def watch(self) -> None:
        """Wait until the connection is gone; the bridge does so while there is nothing to publish.

        Raises:
            BrokerAwayError: always, sooner or later.
        """


class Writer(Protocol):
    """Durable writing to Kafka's log; `streams.log.writer.LogWriter`."""

    async def __aenter__(self) -> Self:
        """Connect, waiting for Kafka."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> asyncio.Future[tuple[int, int]]:
        """Queue one record; the future is done when it is durable, and fails when it can't be written."""

    async def send_many(self, records: Sequence[NewRecord]) -> list[asyncio.Future[Any]]:
        """Queue records, each partition's in their order; wait for Kafka.

        Returns:
            For each a future, which may be shared: done when it is durable, failed when it can't be written.
        """


class Reader(Protocol):
    """A member of a consumer group of Kafka's log; `streams.log.group.GroupReader`."""

    async def __aenter__(self) -> Self:
        """Join the group, waiting for Kafka."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the group."""

    async def read(self, max_records: int = 1000, timeout_s: float = 0.5) -> list[LogRecord]:
        """Next records; what is not committed comes again after a failure."""

    async def commit(self) -> None:
        """Commit everything that was read."""
