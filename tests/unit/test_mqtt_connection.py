"""MQTT against a broker of a few lines, which shows what is on the wire and misbehaves on demand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Self

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from support.brokers import until

from connectors import bridge_in, flight
from connectors.bridge_in import InboundBridge
from connectors.memory.log import MemoryLog, MemoryWriter
from connectors.mqtt import connection as connection_module
from connectors.mqtt import inlet
from connectors.mqtt.connector import connector
from connectors.mqtt.settings import MqttSettings
from connectors.ports import BrokerAwayError, Outgoing
from schemas.clock import SystemClock
from schemas.topics import DEADLETTER

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14
TOPIC = b"twins/incubator/inc-1/telemetry"


class Broker:
    """MQTT 3.1.1, one client at a time; notes every packet."""

    def __init__(self) -> None:
        self.packets: list[tuple[int, bytes]] = []
        self.connack = b"\x00\x00"
        self.suback = b"\x01"
        self.puback = [b""]
        self.answers = {CONNECT, SUBSCRIBE, PUBLISH}
        self.writer: asyncio.StreamWriter | None = None
        self.connections = 0

    def of(self, kind: int) -> list[bytes]:
        return [body for seen, body in self.packets if seen == kind]

    def pubacks(self) -> list[int]:
        return [int.from_bytes(body, "big") for body in self.of(PUBACK)]

    def deliver(self, packet_ids: Iterable[int], *, qos: int = 1) -> None:
        assert self.writer is not None
        for packet_id in packet_ids:
            variable = len(TOPIC).to_bytes(2, "big") + TOPIC + (packet_id.to_bytes(2, "big") if qos else b"")
            self.write(PUBLISH, variable + b"%d" % packet_id, flags=qos << 1)

    def write(self, kind: int, body: bytes, flags: int = 0) -> None:
        assert self.writer is not None
        assert len(body) < 128
        self.writer.write(bytes([kind << 4 | flags, len(body)]) + body)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind = (await reader.readexactly(1))[0] >> 4
                size = (await reader.readexactly(1))[0]
                if size & 0x80:
                    size = (size & 0x7F) + ((await reader.readexactly(1))[0] << 7)
                body = await reader.readexactly(size)
                self.packets.append((kind, body))
                if kind not in self.answers:
                    continue
                if kind == CONNECT:
                    self.write(CONNACK, self.connack)
                elif kind == SUBSCRIBE:
                    self.write(SUBACK, body[:2] + self.suback)
                elif kind == PUBLISH:
                    start = 2 + int.from_bytes(body[:2], "big")
                    reason = self.puback.pop(0) if len(self.puback) > 1 else self.puback[0]
                    self.write(PUBACK, body[start : start + 2] + reason)
        writer.close()


@pytest.fixture
async def fake() -> AsyncIterator[tuple[Broker, MqttSettings]]:
    broker = Broker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield broker, MqttSettings(url=f"mqtt://127.0.0.1:{port}", protocol="3.1.1", receive_maximum=10)
    if broker.writer:
        broker.writer.close()
    server.close()


Fake = tuple[Broker, MqttSettings]


class ScriptedWriter:
    """A writer whose records become durable one by one, by number."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[tuple[int, int]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def send_many(self, records: Sequence[object]) -> list[asyncio.Future[tuple[int, int]]]:
        new = [asyncio.get_running_loop().create_future() for _ in records]
        self.futures += new
        return new

    def durable(self, *numbers: int) -> None:
        for number in numbers:
            self.futures[number].set_result((0, number))


@contextlib.asynccontextmanager
async def bridged(settings: MqttSettings, writer: Callable[[], Any]) -> AsyncIterator[None]:
    bridge = InboundBridge(
        connector=connector(settings, SystemClock()), writer=writer, known_type=lambda _: True, clock=SystemClock()
    )
    task = asyncio.ensure_future(bridge.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_pubacks_leave_in_order_of_arrival_and_only_when_durable(fake: Fake) -> None:
    broker, settings = fake
    writer = ScriptedWriter()
    async with bridged(settings, lambda: writer):
        await until(lambda: broker.of(SUBSCRIBE))
        broker.deliver([7, 3, 9, 1])
        await until(lambda: len(writer.futures) == 4)
        writer.durable(1, 3)
        await asyncio.sleep(0.2)
        assert broker.pubacks() == []
        writer.durable(0)
        await until(lambda: len(broker.pubacks()) == 2)
        assert broker.pubacks() == [7, 3]
        writer.durable(2)
        await until(lambda: len(broker.pubacks()) == 4)
        assert broker.pubacks() == [7, 3, 9, 1]


async def test_no_puback_of_an_old_connection_leaves_on_a_new_one(fake: Fake) -> None:
    broker, settings = fake
    writer = ScriptedWriter()
    async with bridged(settings, lambda: writer):
        await until(lambda: broker.of(SUBSCRIBE))
        broker.deliver([1, 2])
        await until(lambda: len(writer.futures) == 2)
        assert broker.writer is not None
        broker.writer.close()
        await until(lambda: len(broker.of(SUBSCRIBE)) == 2)
        writer.durable(0, 1)
        await asyncio.sleep(0.2)
        assert broker.pubacks() == []
        broker.deliver([1])
        await until(lambda: len(writer.futures) == 3)
        writer.durable(2)
        await until(lambda: broker.pubacks() == [1])


async def test_qos_0_is_taken_and_never_acknowledged(fake: Fake) -> None:
    broker, settings = fake
    log = MemoryLog()
    async with bridged(settings, log.writer):
        await until(lambda: broker.of(SUBSCRIBE))
        broker.deliver([1], qos=0)
        broker.deliver([2])
        await until(lambda: broker.pubacks() == [2])
    assert [record.value for record in log.records["twinstream.incubator.telemetry"]] == [b"1", b"2"]


async def test_flood_beyond_the_limit_stops_reading_and_loses_nothing(fake: Fake) -> None:
    broker, settings = fake
    log = MemoryLog()
    log.hold()
    async with bridged(settings, log.writer):
        await until(lambda: broker.of(SUBSCRIBE))
        broker.deliver(range(1, 1001))
        await asyncio.sleep(0.5)
        # Ten in flight, what one look at the full queue may add, and no more.
        assert log.waiting <= 30
        log.release()
        await until(lambda: len(broker.pubacks()) == 1000)
    assert broker.pubacks() == list(range(1, 1001))


async def test_many_bytes_stop_reading_and_lose_nothing(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (inlet, flight):
        monkeypatch.setattr(module, "IN_FLIGHT_BYTES", 60)
    broker, settings = fake
    log = MemoryLog()
    log.hold()
    async with bridged(settings.model_copy(update={"receive_maximum": 1000}), log.writer):
        await until(lambda: broker.of(SUBSCRIBE))
        broker.deliver(range(100, 1000))
        await asyncio.sleep(0.5)
        # Three bytes each: twenty in flight, as many in the inlet.
        assert log.waiting <= 60
        log.release()
        await until(lambda: len(broker.pubacks()) == 900)
    assert broker.pubacks() == list(range(100, 1000))


async def test_of_messages_that_are_written_together_only_the_one_that_kafka_refuses_is_a_dead_letter(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_in, "LONGEST_DELAY_S", 0.01)
    broker, settings = fake
    log = MemoryLog()

    class Picky(MemoryWriter):
        async def send_many(self, records: Sequence[Any]) -> list[asyncio.Future[tuple[int, int]]]:
            if all(topic == DEADLETTER or value != b"100" for topic, _, value, _ in records):
                return await super().send_many(records)
            refused: list[asyncio.Future[tuple[int, int]]] = []
            for _ in records:
                refused.append(asyncio.get_running_loop().create_future())
                refused[-1].set_exception(MessageSizeTooLargeError())
                refused[-1].exception()
            return refused

    async with bridged(settings, lambda: Picky(log)):
        for attempt in range(1, 4):
            await until(lambda attempt=attempt: len(broker.of(SUBSCRIBE)) == attempt)  # type: ignore[misc]
            broker.deliver([7, 100, 8])
            await asyncio.sleep(0.2)
        await until(lambda: broker.pubacks()[-3:] == [7, 100, 8])
    assert [record.value for record in log.records["twinstream.incubator.telemetry"][-3:]] == [
        b"7",
        b"null",
        b"8",
    ]
    assert len(log.records[DEADLETTER]) == 1


async def test_session_is_asked_to_be_kept_and_the_client_id_is_stable(fake: Fake) -> None:
    broker, settings = fake
    made = connector(settings, SystemClock())
    for _ in range(2):
        async with made.inlet():
            pass
    async with made.outlet():
        pass
    into, again, out = broker.of(CONNECT)
    assert into == again
    assert into.endswith(b"twinstream-in")
    assert out.endswith(b"twinstream-out")
    clean_session = 2
    assert not into[7] & clean_session
    assert out[7] & clean_session


@pytest.mark.parametrize(("present", "told"), [(0, 1), (1, 0)])
async def test_a_session_that_the_broker_has_forgotten_is_told_from_the_second_connection_on(
    fake: Fake, present: int, told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    broker, settings = fake
    made = connector(settings, SystemClock())
    async with made.inlet():
        assert "forgotten" not in capsys.readouterr().out
    broker.connack = bytes([present, 0])
    async with made.inlet():
        assert capsys.readouterr().out.count("forgotten our session") == told


@pytest.mark.parametrize(("granted_s", "told"), [(60, 1), (3600, 0), (None, 0)])
async def test_a_session_that_the_broker_keeps_for_less_long_than_asked_is_told(
    fake: Fake, granted_s: int | None, told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    broker, settings = fake
    properties = b"" if granted_s is None else b"\x11" + granted_s.to_bytes(4, "big")
    broker.connack = b"\x00\x00" + bytes([len(properties)]) + properties
    broker.suback = b"\x00\x01"
    asked = settings.model_copy(update={"protocol": "5", "session_expiry_s": 3600})
    async with connector(asked, SystemClock()).inlet():
        pass
    assert capsys.readouterr().out.count("for less long than asked") == told


@pytest.mark.parametrize(
    ("limit", "expected_rate", "told"),
    [(20, 0.0, "rate=2000"), (100, 0.0, ""), (100, 20_000.0, "rate=10000"), (20, 500.0, ""), (None, 9000.0, "")],
)
async def test_the_rate_that_a_broker_s_limit_of_messages_in_flight_permits_is_told_where_it_is_too_low(
    fake: Fake, limit: int | None, expected_rate: float, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broker, settings = fake
    properties = b"" if limit is None else b"\x21" + limit.to_bytes(2, "big")
    broker.connack = b"\x00\x00" + bytes([len(properties)]) + properties
    broker.suback = b"\x00\x01"
    asked = settings.model_copy(update={"protocol": "5", "expected_rate": expected_rate})
    async with connector(asked, SystemClock()).inlet():
        pass
    said = capsys.readouterr().out
    assert said.count("limits the rate") == bool(told)
    assert told in said


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"connack": b"\x00\x05"}, "refuses the connection: Not authorized"),
        ({"connack": b"\x00\x04"}, "refuses the connection: Bad user name or password"),
        ({"suback": b"\x80"}, "refuses the subscriptions 'twins/#'"),
        ({"answers": set()}, "did not accept the connection within"),
        ({"answers": {CONNECT}}, "did not confirm the subscriptions within"),
    ],
)
async def test_why_the_broker_is_away_is_told(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    broker, settings = fake
    monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connection_module, "ANSWER_TIMEOUT_S", 0.5)
    vars(broker).update(change)
    with pytest.raises(BrokerAwayError, match=reason):
        await connector(settings, SystemClock()).inlet().__aenter__()


async def test_message_without_confirmation_is_an_outage(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    broker, settings = fake
    monkeypatch.setattr(connection_module, "ANSWER_TIMEOUT_S", 0.5)
    broker.answers = {CONNECT}
    async with connector(settings, SystemClock()).outlet() as outlet:
        with pytest.raises(BrokerAwayError, match="did not confirm a message within"):
            await outlet.publish([Outgoing("", "a", b"1")])


async def test_connection_that_breaks_while_publishing_is_an_outage(fake: Fake) -> None:
    broker, settings = fake
    broker.answers = {CONNECT}
    async with connector(settings, SystemClock()).outlet() as outlet:
        publishing = asyncio.ensure_future(outlet.publish([Outgoing("", "a", b"1")]))
        await until(lambda: broker.of(PUBLISH))
        assert broker.writer is not None
        broker.writer.close()
        with pytest.raises(BrokerAwayError, match="lost"):
            await publishing
        with pytest.raises(BrokerAwayError):
            await outlet.watch()


async def test_messages_leave_in_order_across_windows(fake: Fake) -> None:
    broker, settings = fake
    async with connector(settings, SystemClock()).outlet() as outlet:
        receipts = await outlet.publish([Outgoing("", "a", b"%d" % number) for number in range(250)])
    assert len(receipts) == 250
    assert [body[5:] for body in broker.of(PUBLISH)] == [b"%d" % number for number in range(250)]


async def test_every_reason_code_of_failure_refuses_one_message_and_so_does_a_packet_that_is_too_large(
    fake: Fake,
) -> None:
    broker, settings = fake
    largest = (200).to_bytes(4, "big")
    broker.connack = b"\x00\x00" + b"\x05\x27" + largest
    broker.puback = [b"\x80", b"\x87", b"\x97", b"\x10", b""]
    async with connector(settings.model_copy(update={"protocol": "5"}), SystemClock()).outlet() as outlet:
        payloads = [b"unspecified", b"forbidden", b"quota", b"nobody", b"x" * 200, b"fine"]
        receipts = await outlet.publish([Outgoing("", "a", payload, 60.5) for payload in payloads])
        assert await outlet.publish([Outgoing("", "a/#", b"1"), Outgoing("", "a", b"2")]) == ["refused", "taken"]
    assert receipts == ["refused", "refused", "refused", "unroutable", "refused", "taken"]
    assert len(broker.of(PUBLISH)) == 6
    # Message expiry interval, full seconds.
    assert all(b"\x05\x02" + (60).to_bytes(4, "big") in body for body in broker.of(PUBLISH)[:5])


async def test_a_traceparent_leaves_as_a_user_property_and_stays_behind_where_the_packet_would_be_too_large(
    fake: Fake,
) -> None:
    broker, settings = fake
    parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    said = b"\x26\x00\x0btraceparent\x00\x37" + parent
    broker.connack = b"\x00\x00" + b"\x05\x27" + (200).to_bytes(4, "big")
    sizes = (0, 1, 90, 109, 110, 120, 150, 180)
    async with connector(settings.model_copy(update={"protocol": "5"}), SystemClock()).outlet() as outlet:
        messages = [Outgoing("", "a", b"x" * size, traceparent=parent) for size in sizes]
        assert await outlet.publish(messages) == ["taken"] * len(sizes)
        assert await outlet.publish([Outgoing("", "a", b"plain")]) == ["taken"]
    bodies = broker.of(PUBLISH)
    assert [said in body for body in bodies] == [True] * 4 + [False] * 5
    assert all(len(body) + 3 <= 200 for body in bodies)


async def test_with_mqtt_3_a_traceparent_has_no_place(fake: Fake) -> None:
    broker, settings = fake
    async with connector(settings.model_copy(update={"protocol": "3.1.1"}), SystemClock()).outlet() as outlet:
        assert await outlet.publish([Outgoing("", "a", b"1", traceparent=b"00-a-b-01")]) == ["taken"]
    assert broker.of(PUBLISH)[0].endswith(b"1")
    assert b"00-a-b-01" not in broker.of(PUBLISH)[0]


async def test_nothing_listens_there(unused_tcp_port: int) -> None:
    settings = MqttSettings(url=f"mqtt://user:s3cret@127.0.0.1:{unused_tcp_port}")
    with pytest.raises(BrokerAwayError, match="refused") as caught:
        await connector(settings, SystemClock()).inlet().__aenter__()
    assert "s3cret" not in str(caught.value)


async def test_leaving_a_broker_that_is_silent_is_quick(fake: Fake) -> None:
    broker, settings = fake
    outlet = connector(settings, SystemClock()).outlet()
    await outlet.__aenter__()
    assert broker.writer is not None
    broker.writer.transport.pause_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(4):
        await outlet.__aexit__(None, None, None)
