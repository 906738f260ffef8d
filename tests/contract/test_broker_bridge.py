"""Every bridge, over a log in memory: what a device sends is durable before it is acknowledged, and the way back."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
from support.brokers import BrokerUnderTest, until

from connectors.bridge_in import InboundBridge
from connectors.bridge_out import OUTPUT_PATTERN, OutboundBridge, group_of
from connectors.connector import Connector
from connectors.memory.log import MemoryLog
from connectors.observer import Silent
from schemas.clock import NS_PER_S, SystemClock
from schemas.messages import Cause, Command, DeadLetter, Event, encode
from streams.log.record import LogRecord

INPUT = "twinstream.incubator.telemetry"
COMMANDS = "twinstream.incubator.commands"
EVENTS = "twinstream.incubator.events"
DEADLETTER = "twinstream.deadletter"
CAUSE = Cause(partition=0, offset=7, definition="d", parameters=1)


class Counts(Silent):
    """Counts what the tests ask for."""

    def __init__(self) -> None:
        self.echoes = 0
        self.lost: list[str] = []
        self.ups: list[tuple[str, bool]] = []

    def echoed(self, messages: int) -> None:
        self.echoes += messages

    def undelivered(self, receipt: str, messages: int) -> None:
        self.lost += [receipt] * messages

    def connected(self, direction: str, *, up: bool) -> None:
        self.ups.append((direction, up))


@contextlib.asynccontextmanager
async def running(*bridges: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(bridge) for bridge in bridges]
    try:
        yield
        assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def inbound(connector: Connector, log: MemoryLog, counts: Counts | None = None) -> Coroutine[Any, Any, Any]:
    bridge = InboundBridge(
        connector=connector,
        writer=log.writer,
        known_type=lambda name: name == "incubator",
        clock=SystemClock(),
        observer=counts or Counts(),
    )
    return bridge.run()


def outbound(connector: Connector, log: MemoryLog, counts: Counts | None = None) -> Coroutine[Any, Any, Any]:
    bridge = OutboundBridge(
        connector=connector,
        reader=lambda: log.reader(group_of(connector.name), OUTPUT_PATTERN),
        writer=log.writer,
        clock=SystemClock(),
        observer=counts or Counts(),
    )
    return bridge.run()


async def connected(counts: Counts, direction: str) -> None:
    await until(lambda: counts.ups and counts.ups[-1] == (direction, True))


def command(number: int, expires_in_s: float = 60.0) -> Command:
    now_ns = SystemClock().now_ns()
    return Command(
        id=f"c{number}",
        type="incubator",
        twin="inc-1",
        name="heater",
        value=bool(number % 2),
        issued_ns=now_ns,
        expires_ns=now_ns + round(expires_in_s * NS_PER_S),
        cause=CAUSE,
    )


def letters(log: MemoryLog) -> list[DeadLetter]:
    return [msgspec.json.decode(record.value or b"", type=DeadLetter) for record in log.records.get(DEADLETTER, [])]


def events(log: MemoryLog) -> list[Event]:
    return [msgspec.json.decode(record.value or b"", type=Event) for record in log.records.get(EVENTS, [])]


def values(records: list[LogRecord]) -> list[bytes | None]:
    return [record.value for record in records]


async def test_telemetry_requests_and_acks_become_records_of_their_kind(broker: BrokerUnderTest) -> None:
    log, counts = MemoryLog(), Counts()
    before_ns = SystemClock().now_ns()
    async with running(inbound(broker.connector(SystemClock()), log, counts)):
        await connected(counts, "in")
        topics = [f"twins/incubator/inc-1/{rest}" for rest in ("telemetry", "requests/temperature_desired", "acks/fan")]
        payloads = [b'{"t1": 21.5}', b'{"temperature_desired": 30}', b'{"id": "c1"}']
        await broker.publish(list(zip(topics, payloads, strict=True)))
        await until(lambda: len(log.records.get(INPUT, [])) == 3)
    records = log.records[INPUT]
    assert values(records) == payloads
    assert {record.key for record in records} == {b"inc-1"}
    assert [record.header("ts-kind") for record in records] == [b"", b"request", b"ack"]
    assert [record.header("ts-name") for record in records] == [b"", b"temperature_desired", b"fan"]
    assert [bool(record.header("ts-id")) for record in records] == [False, True, False]
    assert [record.header("ts-source").decode() for record in records] == [broker.source(topic) for topic in topics]
    assert all(before_ns <= int(record.header("ts-received")) <= SystemClock().now_ns() for record in records)


async def test_what_means_nothing_is_a_dead_letter_and_stops_nobody(broker: BrokerUnderTest) -> None:
    log, counts = MemoryLog(), Counts()
    bad = {
        "twins/Incubator/inc-1/telemetry": "invalid_name",
        "twins/incubator/inc!1/telemetry": "invalid_name",
        "twins/incubator/inc-1/requests/1st": "invalid_name",
        "twins/incubator/inc-1/telemetri": "invalid_name",
        "twins/incubator/inc-1/extra/word/telemetry": "invalid_name",
        "twins/tank/t-1/telemetry": "unknown_type",
    }
    async with running(inbound(broker.connector(SystemClock()), log, counts)):
        await connected(counts, "in")
        await broker.publish([(topic, b"\xffraw") for topic in bad])
        await broker.publish([("twins/incubator/inc-1/telemetry", b"x" * (1024 * 1024 + 1))])
        await broker.publish([("twins/incubator/inc-1/telemetry", b"{}")])
        await until(lambda: b"{}" in values(log.records.get(INPUT, [])) and len(letters(log)) == len(bad) + 1)
    found = {letter.source: letter for letter in letters(log)}
    for topic, reason in bad.items():
        letter = found[broker.source(topic)]
        assert letter.reason == reason
        assert base64.b64decode(letter.raw_base64) == b"\xffraw"
    large = found[broker.source("twins/incubator/inc-1/telemetry")]
    assert (large.reason, large.type, large.twin) == ("too_large", "incubator", "inc-1")
    assert large.size == 1024 * 1024 + 1
    assert found[broker.source("twins/tank/t-1/telemetry")].type == "tank"
    assert values([record for record in log.records[INPUT] if not record.header("ts-kind")]) == [b"{}"]
    # What was telemetry of a deployed type is in the loss account.
    notes = [record for record in log.records[INPUT] if record.header("ts-kind") == b"refused"]
    assert {(note.key, note.header("ts-source").decode()) for note in notes} == {
        (None, broker.source("twins/incubator/inc!1/telemetry")),
        (b"inc-1", broker.source("twins/incubator/inc-1/telemetry")),
    }
    unknown = [record.key for record in log.records["twinstream.deadletter"] if record.header("ts-unknown")]
    assert unknown == [b"inc-1", None, None, b"t-1"]


async def test_nothing_is_acknowledged_before_it_is_durable(broker: BrokerUnderTest) -> None:
    connector = broker.connector(SystemClock())
    dead, alive, counts = MemoryLog(), MemoryLog(), Counts()
    dead.hold()
    payloads = [b'{"seq": %d}' % number for number in range(30)]
    async with running(inbound(connector, dead, counts)):
        await connected(counts, "in")
        await broker.publish([("twins/incubator/inc-1/telemetry", payload) for payload in payloads])
        await asyncio.sleep(0.5)
    assert dead.records == {}
    async with running(inbound(connector, alive)):
        await until(lambda: len(alive.records.get(INPUT, [])) == 30)
    assert values(alive.records[INPUT]) == payloads


async def test_kafka_away_holds_the_broker_back_and_recovers_by_itself(broker: BrokerUnderTest) -> None:
    connector = broker.connector(SystemClock(), in_flight=20)
    log, counts = MemoryLog(), Counts()
    payloads = [b'{"seq": %d}' % number for number in range(200)]
    async with running(inbound(connector, log, counts)):
        await connected(counts, "in")
        log.hold()
        await broker.publish([("twins/incubator/inc-1/telemetry", payload) for payload in payloads])
        await asyncio.sleep(0.5)
        assert INPUT not in log.records
        if broker.counts_in_flight:
            assert log.waiting == 20
        log.release()
        await until(lambda: len(log.records.get(INPUT, [])) >= 200)
        await asyncio.sleep(0.2)
    assert values(log.records[INPUT]) == payloads
    async with running(inbound(connector, log)):
        await asyncio.sleep(0.5)
    assert values(log.records[INPUT]) == payloads


async def test_broker_and_kafka_away_at_once_lose_nothing_and_recover_in_either_order(
    restartable: BrokerUnderTest,
) -> None:
    log, counts = MemoryLog(), Counts()
    payloads = [b'{"seq": %d}' % number for number in range(300)]
    telemetry = [("twins/incubator/inc-1/telemetry", payload) for payload in payloads]
    survives = restartable.sessions_survive_restart
    async with running(inbound(restartable.connector(SystemClock(), in_flight=20), log, counts)):
        for first, kafka_first in ((0, True), (150, False)):
            await connected(counts, "in")
            log.hold()
            await restartable.publish(telemetry[first : first + 100])
            await until(lambda: log.waiting)
            ups = len(counts.ups)
            await restartable.stop()
            if kafka_first:
                log.release()
            await asyncio.sleep(0.3)
            await restartable.start()
            await asyncio.sleep(0.3)
            log.release()
            await until(lambda: ("in", True) in counts.ups[ups:])  # noqa: B023
            await restartable.publish(telemetry[first + 100 : first + 150])
            wanted = set(payloads[first + (0 if survives else 100) : first + 150])
            await until(lambda: wanted <= set(values(log.records.get(INPUT, []))))  # noqa: B023
    found = list(dict.fromkeys(values(log.records[INPUT])))
    assert found == sorted(found, key=lambda value: payloads.index(value or b""))


async def test_record_that_kafka_refuses_is_not_acknowledged(broker: BrokerUnderTest) -> None:
    log, counts = MemoryLog(), Counts()
    async with running(inbound(broker.connector(SystemClock()), log, counts)):
        await connected(counts, "in")
        log.hold()
        await broker.publish([("twins/incubator/inc-1/telemetry", b"%d" % number) for number in range(3)])
        await until(lambda: log.waiting == 3)
        log.fail(PermissionError("not yours"))
        await until(lambda: len(log.records.get(INPUT, [])) == 3)
    assert values(log.records[INPUT]) == [b"0", b"1", b"2"]


async def test_bridge_survives_a_restart_of_the_broker(restartable: BrokerUnderTest) -> None:
    log, counts = MemoryLog(), Counts()
    async with running(inbound(restartable.connector(SystemClock()), log, counts)):
        await connected(counts, "in")
        await restartable.publish([("twins/incubator/inc-1/telemetry", b"1")])
        await until(lambda: INPUT in log.records)
        await restartable.stop()
        await until(lambda: counts.ups[-1] == ("in", False))
        await asyncio.sleep(0.3)
        await restartable.start()
        await connected(counts, "in")
        await restartable.publish([("twins/incubator/inc-1/telemetry", b"2")])
        await until(lambda: b"2" in values(log.records[INPUT]))
    assert values(log.records[INPUT])[0] == b"1"


async def test_commands_and_events_reach_devices_in_order(broker: BrokerUnderTest) -> None:
    log, counts = MemoryLog(), Counts()
    sent = [command(number) for number in range(300)]
    for message in sent:
        log.send(COMMANDS, b"inc-1", encode(message), ())
    lid = Event(
        id="e1",
        type="incubator",
        twin="inc-1",
        name="lid_opened",
        severity="warning",
        event_time_ns=5,
        cause=CAUSE,
        data={},
    )
    connector = broker.connector(SystemClock())
    async with broker.listen() as seen, running(outbound(connector, log, counts)):
        await until(lambda: len(seen) == 300)
        log.send(EVENTS, b"inc-1", encode(lid), ())
        await until(lambda: len(seen) == 301)
        await until(lambda: log.committed(group_of(connector.name), EVENTS) == 301)
        await asyncio.sleep(0.2)
    assert [topic for topic, _ in seen] == ["twins/incubator/inc-1/commands/heater"] * 300 + [
        "twins/incubator/inc-1/events/lid_opened"
    ]
    assert [payload for _, payload in seen] == [encode(message) for message in [*sent, lid]]
    told = [event for event in events(log) if event.name == "command_sent"]
    assert [event.data["id"] for event in told] == [message.id for message in sent]
    assert {event.data["broker"] for event in told} == {connector.name}
    assert {event.cause for event in told} == {CAUSE}
    assert log.committed(group_of(connector.name), COMMANDS) == 300
    assert counts.lost == []


async def test_expired_command_is_not_sent_and_is_told(broker: BrokerUnderTest) -> None:
    log, started_ns = MemoryLog(), SystemClock().now_ns()
    log.send(COMMANDS, b"inc-1", encode(command(1, expires_in_s=-0.001)), ())
    log.send(COMMANDS, b"inc-1", encode(command(2)), ())
    async with broker.listen() as seen, running(outbound(broker.connector(SystemClock()), log)):
        await until(lambda: len(seen) == 2)
    assert sorted(topic.rpartition("/")[2] for topic, _ in seen) == ["command_expired", "heater"]
    assert msgspec.json.decode(dict(seen)["twins/incubator/inc-1/commands/heater"], type=Command).id == "c2"
    (expired,) = [event for event in events(log) if event.name == "command_expired"]
    assert expired.severity == "warning"
    assert expired.data.pop("at_ns") >= started_ns
    assert expired.data == {"id": "c1", "name": "heater", "broker": broker.technology}


async def test_command_that_expires_during_an_outage_never_reaches_a_device(restartable: BrokerUnderTest) -> None:
    log, counts = MemoryLog(), Counts()
    async with running(outbound(restartable.connector(SystemClock()), log, counts)):
        await connected(counts, "out")
        await restartable.stop()
        await until(lambda: counts.ups[-1] == ("out", False))
        log.send(COMMANDS, b"inc-1", encode(command(1, expires_in_s=0.3)), ())
        log.send(COMMANDS, b"inc-1", encode(command(2)), ())
        await asyncio.sleep(0.5)
        await restartable.start()
        async with restartable.listen() as seen:
            await until(lambda: {event.name for event in events(log)} == {"command_expired", "command_sent"})
            await asyncio.sleep(0.2)
    assert b'"c1"' not in b"".join(payload for topic, payload in seen if "/commands/" in topic)
    outcomes = {event.name: event.data["id"] for event in events(log)}
    assert outcomes == {"command_expired": "c1", "command_sent": "c2"}


async def test_command_that_nobody_takes_is_counted_and_no_error(broker: BrokerUnderTest) -> None:
    log, counts = MemoryLog(), Counts()
    log.send(COMMANDS, b"inc-1", encode(command(1)), ())
    async with running(outbound(broker.connector(SystemClock()), log, counts)):
        await until(lambda: events(log))
    assert [event.name for event in events(log)] == ["command_sent"]
    if broker.tells_who_listens:
        assert counts.lost == ["unroutable"]


async def test_own_commands_do_not_come_back_as_dead_letters(broker: BrokerUnderTest) -> None:
    log, counts = MemoryLog(), Counts()
    connector = broker.connector(SystemClock())
    async with running(inbound(connector, log, counts)):
        await connected(counts, "in")
        async with running(outbound(connector, log)):
            log.send(COMMANDS, b"inc-1", encode(command(1)), ())
            await until(lambda: counts.echoes == 1)
    assert letters(log) == []


async def test_command_that_can_never_be_sent_is_a_dead_letter_and_the_next_is_sent(broker: BrokerUnderTest) -> None:
    log = MemoryLog()
    good = encode(command(1))
    bad = {
        b"{": "undecodable",
        b"[" * 100_000: "undecodable",
        good.replace(b'"heater"', b'"heater/#"'): "invalid_name",
        good.replace(b'"inc-1"', b'"+"'): "invalid_name",
        good.replace(b'"incubator"', b'"Incubator"'): "invalid_name",
    }
    for value in bad:
        log.send(COMMANDS, b"inc-1", value, ())
    log.send(COMMANDS, b"inc-1", encode(command(2)), ())
    async with running(outbound(broker.connector(SystemClock()), log)):
        await until(lambda: events(log))
    assert [(letter.reason, letter.source) for letter in letters(log)] == [
        (reason, f"kafka:{COMMANDS}/0/{offset}") for offset, reason in enumerate(bad.values())
    ]
    assert [(event.name, event.data["id"]) for event in events(log)] == [("command_sent", "c2")]


async def test_command_with_the_longest_names_and_far_expiry_leaves_or_is_told_as_refused(
    broker: BrokerUnderTest,
) -> None:
    log = MemoryLog()
    far = msgspec.structs.replace(command(1), twin="t" * 64, name="n" * 128, expires_ns=2**63)
    type_name = f"{'p' * 40}-{'t' * 40}"
    longest = msgspec.structs.replace(far, type=type_name, id="c2")
    log.send(COMMANDS, b"t", encode(far), ())
    log.send(f"twinstream.{type_name}.commands", b"t", encode(longest), ())
    log.send(COMMANDS, b"t", encode(command(3)), ())
    connector = broker.connector(SystemClock())
    async with running(outbound(connector, log)):
        await until(lambda: len(log.records.get(f"twinstream.{type_name}.events", [])) == 1 and len(events(log)) == 2)
    assert [event.name for event in events(log)] == ["command_sent"] * 2
    told = msgspec.json.decode(log.records[f"twinstream.{type_name}.events"][0].value or b"", type=Event)
    # A routing key of AMQP has at most 255 bytes.
    assert told.name == ("command_refused" if broker.technology == "amqp" else "command_sent")
