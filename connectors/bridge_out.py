"""From Kafka to a broker: commands and events, each confirmed by the broker before the group moves on."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec
import structlog
from aiokafka.errors import KafkaError

from connectors.connector import Connector
from connectors.outbound import OutboundRoute
from connectors.ports import (
    BridgeObserver,
    BrokerAwayError,
    Outgoing,
    Outlet,
    Reader,
    Receipt,
    Silent,
    Writer,
)
from connectors.reconnect import LEAVE_TIMEOUT_S, Outage, first_failure, leaving_within
from schemas.clock import NS_PER_S, Clock
from schemas.messages import Command, DeadLetter, Event, dead_letter, encode, stable_id
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, TypeTopics, type_of_topic
from streams.log.record import LogRecord
from streams.log.retry import LONGEST_DELAY_S, retrying

OUTPUT_PATTERN = r"^twinstream\.[a-z0-9_-]+\.(commands|events)$"
"""Topics that an outbound bridge reads."""

INTERNAL_EVENTS = frozenset({"command_sent", "command_acknowledged"})
"""Events about the delivery of a command; brokers don't get them."""

_BATCH_RECORDS = 500

log = structlog.get_logger(__name__)


def group_of(technology: str) -> str:
    """Consumer group of an outbound bridge."""
    return f"twinstream-bridge-{technology}"


class Plan(msgspec.Struct):
    """What a batch of records asks for.

    Attributes:
        outgoing: Messages with what they were made of, in order; a message appears once for each of its routes.
        expired: Commands that outlived their time to live.
        unreadable: Records that are neither.
    """

    outgoing: list[tuple[Outgoing, Command | Event]]
    expired: list[Command]
    unreadable: list[tuple[LogRecord, str]]


def plan(records: Sequence[LogRecord], routes: Sequence[OutboundRoute], now_ns: int) -> Plan:
    """Decide what leaves; a message that no route takes is not this broker's business."""
    made = Plan([], [], [])
    for record in records:
        try:
            message = _decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            made.unreadable.append((record, str(error)))
            continue
        if message is None or (isinstance(message, Event) and message.name in INTERNAL_EVENTS):
            continue
        taking = [route for route in routes if route.takes(message)]
        expires_in_s = None
        if isinstance(message, Command):
            if taking and message.expires_ns < now_ns:
                made.expired.append(message)
                continue
            expires_in_s = (message.expires_ns - now_ns) / NS_PER_S
        for route in taking:
            rendered = route.render(message)
            outgoing = Outgoing(rendered.exchange, rendered.address, rendered.payload, expires_in_s)
            made.outgoing.append((outgoing, message))
    return made


def outcome(command: Command, name: str) -> Event:
    """The event that tells what became of `command`: `command_sent` or `command_expired`."""
    word = name.removeprefix("command_")
    return Event(
        id=stable_id(word, command.id),
        type=command.type,
        twin=command.twin,
        name=name,
        severity="warning" if word == "expired" else "info",
        event_time_ns=command.issued_ns,
        cause=command.cause,
        data={"id": command.id, "name": command.name},
    )


class OutboundBridge:
    """Moves commands and events of all types to one broker; `run` until cancelled.

    It is in its consumer group only while the broker is there. After an outage the commands that waited are judged
    anew, so that none that outlived its time to live reaches a device.

    Args:
        connector: The broker.
        reader: Makes a new member of the group `group_of(connector.name)` on the topics of `OUTPUT_PATTERN`.
        writer: Makes a new writer of Kafka's log.
    """

    def __init__(
        self,
        *,
        connector: Connector,
        reader: Callable[[], Reader],
        writer: Callable[[], Writer],
        clock: Clock,
        observer: BridgeObserver | None = None,
    ) -> None:
        self._connector = connector
        self._name = connector.name
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._observer = observer or Silent()
        self._outage = Outage(self._name, "out", clock, self._observer)

    async def run(self) -> NoReturn:
        """Bridge for ever; a broker or a Kafka that is away is waited for."""
        while True:
            try:
                async with self._connector.outlet() as outlet:
                    self._outage.over()
                    await first_failure(outlet.watch(), self._pump(outlet))
            except BrokerAwayError as error:
                await asyncio.sleep(self._outage.began(error))
            except KafkaError as error:
                # Nothing is committed: what was not confirmed is read and judged again.
                log.error("kafka failed, starting anew", broker=self._name, reason=repr(error))  # noqa: TRY400
                await asyncio.sleep(LONGEST_DELAY_S)

    async def _pump(self, outlet: Outlet) -> None:
        async with (
            leaving_within(self._writer(), LEAVE_TIMEOUT_S) as writer,
            leaving_within(self._reader(), LEAVE_TIMEOUT_S) as reader,
        ):
            while True:
                if records := await reader.read(max_records=_BATCH_RECORDS):
                    await self._forward(records, outlet, writer)
                    await reader.commit()

    async def _forward(self, records: Sequence[LogRecord], outlet: Outlet, writer: Writer) -> None:
        made = plan(records, self._connector.outbound, self._clock.now_ns())
        receipts = await outlet.publish([outgoing for outgoing, _ in made.outgoing]) if made.outgoing else []
        outcomes = [outcome(command, "command_expired") for command in made.expired]
        outcomes += [outcome(command, "command_sent") for command in self._sent(made, receipts)]
        self._observer.expired(len(made.expired))
        written = [
            await self._send(writer, TypeTopics(event.type).events, event.twin.encode(), event) for event in outcomes
        ]
        for record, detail in made.unreadable:
            letter = _letter(record, detail, self._clock.now_ns())
            written.append(await self._send(writer, DEADLETTER, record.key, letter))
            self._observer.dead_lettered(letter.type, letter.reason)
        for durable in written:
            await durable

    def _sent(self, made: Plan, receipts: Sequence[Receipt]) -> list[Command]:
        """Count what the broker said; the commands that it took on at least one route, each once."""
        sent: dict[str, Command] = {}
        for (outgoing, message), receipt in zip(made.outgoing, receipts, strict=True):
            if receipt is Receipt.REFUSED:
                log.warning("broker refuses a message", broker=self._name, address=outgoing.address)
            else:
                self._observer.published("command" if isinstance(message, Command) else "event", 1)
                if isinstance(message, Command):
                    sent[message.id] = message
            if receipt is not Receipt.TAKEN:
                self._observer.undelivered(receipt.value, 1)
        return list(sent.values())

    async def _send(
        self, writer: Writer, topic: str, key: bytes | None, message: msgspec.Struct
    ) -> asyncio.Future[tuple[int, int]]:
        value = encode(message)
        return await retrying(lambda: writer.send(topic, key, value), f"bridge {self._name}")


def _decode(record: LogRecord) -> Command | Event | None:
    if record.value is None:
        return None
    if record.topic.endswith(".commands"):
        return msgspec.json.decode(record.value, type=Command)
    return msgspec.json.decode(record.value, type=Event)


def _letter(record: LogRecord, detail: str, now_ns: int) -> DeadLetter:
    return dead_letter(
        reason=Reason.UNDECODABLE,
        detail=detail,
        source=f"kafka:{record.topic}/{record.partition}/{record.offset}",
        type_name=type_of_topic(record.topic),
        twin="",
        received_ns=now_ns,
        raw=record.value or b"",
    )
