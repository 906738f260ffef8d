"""Bridges hand traces on, both ways, and tell of messages only once what became of them is durable."""

import asyncio
from collections.abc import Sequence
from typing import Self

import msgspec
import pytest
from support.brokers import until
from support.spans import KeptSpans

from connectors.bridge_in import InboundBridge
from connectors.bridge_out import OUTPUT_PATTERN, OutboundBridge
from connectors.connector import Connector
from connectors.memory.log import MemoryLog
from connectors.outbound import outbound_routes
from connectors.patterns import MQTT
from connectors.ports import BrokerAwayError, Delivery, Outgoing, Receipt
from connectors.routes import Routes
from schemas.clock import NS_PER_S, SystemClock
from schemas.headers import TRACEPARENT, Headers
from schemas.messages import Cause, Command, encode
from schemas.topics import DEADLETTER, TypeTopics
from schemas.trace import NO_TRACER, Tracer

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TOPICS = TypeTopics("tank")


class Broker:
    """Delivers what it was given, keeps what is published, and hangs up first if it is told to."""

    window = 10

    def __init__(self, deliveries: list[Delivery], *, hangs_up: bool = False) -> None:
        self.published: list[Outgoing] = []
        self.acknowledged = 0
        self._arrived = deliveries
        self._hangs_up = hangs_up

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def receive(self) -> list[Delivery]:
        arrived, self._arrived = self._arrived, []
        if not arrived:
            await asyncio.Event().wait()
        return arrived

    async def acknowledge(self, delivery: Delivery) -> None:
        self.acknowledged = delivery.tag

    async def publish(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        self.published += messages
        if self._hangs_up:
            self._hangs_up = False
            message = "cut"
            raise BrokerAwayError(message)
        return [Receipt.TAKEN] * len(messages)

    async def watch(self) -> None:
        await asyncio.Event().wait()


def _connector(broker: Broker) -> Connector:
    routes = Routes((), MQTT, default_routes=True)
    outbound = outbound_routes((), MQTT, default_routes=True)
    return Connector("mqtt", lambda: broker, lambda: broker, routes, outbound, 100)


def _delivery(address: str, tag: int, traceparent: bytes) -> Delivery:
    return Delivery(address, "", f"mqtt:{address}", b"{}", 7, tag, traceparent=traceparent)


async def _brought_in(log: MemoryLog, tracer: Tracer, *deliveries: Delivery) -> asyncio.Task[None]:
    broker = Broker(list(deliveries))
    bridge = InboundBridge(
        connector=_connector(broker), writer=log.writer, known_type=lambda _: True, clock=SystemClock(), tracer=tracer
    )
    return asyncio.ensure_future(bridge.run())


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_without_an_exporter_records_carry_what_their_messages_carried() -> None:
    log = MemoryLog()
    address = "twins/tank/t-1/telemetry"
    messages = [_delivery(address, 1, PARENT), _delivery(address, 2, b""), _delivery("twins/tank/t 1/x", 3, PARENT)]
    task = await _brought_in(log, NO_TRACER, *messages)
    await until(lambda: len(log.records.get(TOPICS.telemetry, [])) == 2 and DEADLETTER in log.records)
    await _end(task)
    assert [record.header(TRACEPARENT) for record in log.records[TOPICS.telemetry]] == [PARENT, b""]
    assert [record.header(TRACEPARENT) for record in log.records[DEADLETTER]] == [PARENT]


async def test_a_message_is_told_of_when_its_record_is_durable() -> None:
    log, kept = MemoryLog(), KeptSpans()
    log.hold()
    task = await _brought_in(log, kept, _delivery("twins/tank/t-1/telemetry", 1, PARENT))
    await until(lambda: log.waiting == 1)
    (span,) = kept.spans
    assert (span.name, span.parent, span.ended) == ("bridge mqtt in", PARENT, 0)
    log.release()
    await until(lambda: span.ended)
    await _end(task)
    assert log.records[TOPICS.telemetry][0].header(TRACEPARENT) == span.traceparent
    assert span.ended == 1


async def test_our_own_messages_that_come_back_are_not_told_of() -> None:
    log, kept = MemoryLog(), KeptSpans()
    echo = _delivery("twins/tank/t-1/commands/valve", 1, PARENT)
    task = await _brought_in(log, kept, echo, _delivery("twins/tank/t-1/telemetry", 2, b""))
    await until(lambda: TOPICS.telemetry in log.records)
    await _end(task)
    assert kept.spans == []


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_a_command_leaves_with_its_trace_and_is_told_of_when_the_broker_has_it(*, hangs_up: bool) -> None:
    log, kept, broker, clock = MemoryLog(), KeptSpans(), Broker([], hangs_up=hangs_up), SystemClock()
    records: list[tuple[str, Headers]] = [("traced", [(TRACEPARENT, PARENT)]), ("plain", [])]
    for name, headers in records:
        command = Command(
            id=name,
            type="tank",
            twin="t",
            name="valve",
            value=1.0,
            issued_ns=1,
            expires_ns=clock.now_ns() + 60 * NS_PER_S,
            cause=Cause(partition=0, offset=0, definition="d", parameters=0),
        )
        log.send(TOPICS.commands, b"t", encode(command), headers)
    bridge = OutboundBridge(
        connector=_connector(broker),
        reader=lambda: log.reader("g", OUTPUT_PATTERN),
        writer=log.writer,
        clock=clock,
        tracer=kept,
    )
    task = asyncio.ensure_future(bridge.run())
    await until(lambda: len(log.records.get(TOPICS.events, [])) == 2)
    await _end(task)
    ended = [span for span in kept.spans if span.ended]
    assert [span.parent for span in ended] == [PARENT]
    said = {msgspec.json.decode(one.payload)["id"]: one.traceparent for one in broker.published}
    assert said == {"traced": ended[0].traceparent, "plain": b""}
    # What the bridge tells of the command belongs to its trace.
    assert [record.header(TRACEPARENT) for record in log.records[TOPICS.events]] == [PARENT, b""]
    assert len(kept.spans) == 1 + hangs_up
