"""AMQP beyond the contract: foreign exchanges, TLS, and what goes wrong at a broker."""

import asyncio
import contextlib
import gzip
import struct
import uuid
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aio_pika
import msgspec
import pamqp.encode
import pytest
from servers.rabbitmq import RabbitMq
from support.brokers import until

from connectors.amqp.connector import connector
from connectors.amqp.settings import AmqpSettings
from connectors.bridge_in import InboundBridge
from connectors.bridge_out import OUTPUT_PATTERN, OutboundBridge
from connectors.memory.log import MemoryLog
from connectors.ports import BrokerAwayError, Outgoing, Receipt
from infra.settings_file import load
from schemas.clock import NS_PER_S, SystemClock
from schemas.messages import Cause, Command, encode

if TYPE_CHECKING:
    from connectors.connector import Connector

pytestmark = pytest.mark.system

WIRE = Path(__file__).parents[2] / "examples" / "incubator" / "incubator-amqp.yaml"
INPUT = "twinstream.incubator.telemetry"
TELEMETRY = "twins.incubator.inc-1.telemetry"


def settings(node: RabbitMq, **keys: Any) -> AmqpSettings:
    return AmqpSettings.model_validate({"url": node.url, "queue": f"test-{uuid.uuid4().hex}", **keys})


@contextlib.asynccontextmanager
async def channel(node: RabbitMq) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(node.url) as connection:
        yield await connection.channel()


@contextlib.asynccontextmanager
async def bridged(made: "Connector", log: MemoryLog) -> AsyncIterator[None]:
    clock = SystemClock()
    ways = [
        InboundBridge(connector=made, writer=log.writer, known_type=lambda _: True, clock=clock).run(),
        OutboundBridge(
            connector=made, reader=lambda: log.reader("g", OUTPUT_PATTERN), writer=log.writer, clock=clock
        ).run(),
    ]
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def command(name: str, value: bool) -> bytes:  # noqa: FBT001
    now_ns = SystemClock().now_ns()
    cause = Cause(partition=0, offset=1, definition="d", parameters=0)
    return encode(
        Command(
            id=name,
            type="incubator",
            twin="incubator-1",
            name=name,
            value=value,
            issued_ns=now_ns,
            expires_ns=now_ns + 60 * NS_PER_S,
            cause=cause,
        )
    )


async def test_incubators_own_wire_works_with_the_ready_file(rabbitmq: RabbitMq) -> None:
    keys = load(WIRE).amqp.model_dump() | {"url": rabbitmq.url, "queue": f"test-{uuid.uuid4().hex}"}
    log = MemoryLog()
    seen: dict[str, bytes] = {}
    async with bridged(connector(AmqpSettings.model_validate(keys), SystemClock()), log), channel(rabbitmq) as device:
        # As the incubator's own services declare theirs.
        exchange = await device.declare_exchange("Incubator_AMQP", "topic")
        queue = await device.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(exchange, "incubator.hardware.gpio.#")

        async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            seen[message.routing_key or ""] = message.body

        await queue.consume(note, no_ack=True)
        await asyncio.sleep(0.5)
        record = b'{"measurement": "low_level_driver", "time": 1, "tags": {"source": "d"}, "fields": {"t1": 20.5}}'
        for key, body in {
            "incubator.record.driver.state": record,
            "incubator.update.closed_loop_controller.parameters": b'{"temperature_desired": 30}',
            "incubator.update.kalmanfilter.4params": b'{"C_air": 1.0}',
            "incubator.energysaver.enable": b'{"enable": true}',
            "incubator.selfadaptation.trigger": b"{}",
            "incubator.record.controller.state": b"not ours",
        }.items():
            await exchange.publish(aio_pika.Message(body), key)
        log.send("twinstream.incubator.commands", b"incubator-1", command("heater", value=True), ())
        log.send("twinstream.incubator.commands", b"incubator-1", command("fan", value=False), ())
        await until(lambda: len(log.records.get(INPUT, [])) == 5 and len(seen) == 2)
    records = log.records[INPUT]
    assert [(record.header("ts-kind"), record.header("ts-name")) for record in records] == [
        (b"", b""),
        (b"request", b"temperature_desired"),
        (b"request", b"parameters"),
        (b"request", b"energy_saver"),
        (b"request", b"calibrate"),
    ]
    assert records[0].value == record
    assert records[0].header("ts-source") == b"amqp:Incubator_AMQP/incubator.record.driver.state"
    assert records[3].value == b'{"enabled":true}'
    assert {record.key for record in records} == {b"incubator-1"}
    assert seen == {
        "incubator.hardware.gpio.heater.on": b'{"heater":true}',
        "incubator.hardware.gpio.fan.on": b'{"fan":false}',
    }
    assert "twinstream.deadletter" not in log.records


async def test_own_exchange_is_durable_once_connected(rabbitmq: RabbitMq) -> None:
    async with connector(settings(rabbitmq), SystemClock()).outlet(), channel(rabbitmq) as other:
        await other.declare_exchange("twinstream", "topic", durable=True, passive=True)
        with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed):
            await other.declare_exchange("twinstream", "topic", durable=False)


async def test_tls_with_the_brokers_authority(rabbitmq: RabbitMq) -> None:
    made = connector(settings(rabbitmq, url=rabbitmq.tls_url, ca_file=str(rabbitmq.ca_file)), SystemClock())
    async with made.inlet() as inlet, made.outlet() as outlet:
        assert await outlet.publish([Outgoing("twinstream", TELEMETRY, b"{}")]) == [Receipt.TAKEN]
        (delivery,) = await inlet.receive()
        assert delivery.payload == b"{}"


async def test_broker_with_another_authority_is_refused(rabbitmq: RabbitMq) -> None:
    made = connector(settings(rabbitmq, url=rabbitmq.tls_url), SystemClock())
    with pytest.raises(BrokerAwayError, match="certificate verify failed"):
        await made.outlet().__aenter__()


async def test_wrong_password_is_told_without_showing_it(rabbitmq: RabbitMq) -> None:
    made = connector(settings(rabbitmq, username="guest", password="s3cret"), SystemClock())  # noqa: S106
    with pytest.raises(BrokerAwayError, match="ACCESS_REFUSED") as caught:
        await made.inlet().__aenter__()
    assert "s3cret" not in str(caught.value)


async def test_queue_of_another_kind_is_told(rabbitmq: RabbitMq) -> None:
    mine = settings(rabbitmq)
    async with channel(rabbitmq) as other:
        await other.declare_queue(mine.queue, durable=False, auto_delete=True)
    with pytest.raises(BrokerAwayError, match="PRECONDITION_FAILED"):
        await connector(mine, SystemClock()).inlet().__aenter__()


async def test_missing_passive_exchange_is_waited_for(rabbitmq: RabbitMq) -> None:
    name = f"foreign-{uuid.uuid4().hex}"
    made = connector(settings(rabbitmq, exchanges={name: {"passive": True}}), SystemClock())
    with pytest.raises(BrokerAwayError, match="NOT_FOUND"):
        await made.outlet().__aenter__()
    async with channel(rabbitmq) as other:
        await other.declare_exchange(name, "topic", durable=True)
        async with made.outlet():
            pass


async def test_deleted_queue_is_made_again(rabbitmq: RabbitMq) -> None:
    mine, log = settings(rabbitmq), MemoryLog()
    async with bridged(connector(mine, SystemClock()), log), channel(rabbitmq) as other:
        exchange = await other.declare_exchange("twinstream", "topic", durable=True)
        await asyncio.sleep(0.5)
        await other.queue_delete(mine.queue)

        async def arrives() -> bool:
            await exchange.publish(aio_pika.Message(b"{}"), TELEMETRY)
            await asyncio.sleep(0.2)
            return INPUT in log.records

        async with asyncio.timeout(20):
            while not await arrives():
                pass
        await other.queue_delete(mine.queue)


async def test_message_expires_at_the_broker_with_its_command(rabbitmq: RabbitMq) -> None:
    async with connector(settings(rabbitmq), SystemClock()).outlet() as outlet, channel(rabbitmq) as device:
        queue = await device.declare_queue(exclusive=True)
        messages = [Outgoing("", queue.name, b"old", 0.05), Outgoing("", queue.name, b"new", 60.0)]
        assert await outlet.publish(messages) == [Receipt.TAKEN, Receipt.TAKEN]
        await asyncio.sleep(0.3)
        got = await queue.get(no_ack=True)
        assert got is not None
        assert got.body == b"new"
        assert got.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


async def test_message_that_a_full_queue_refuses_is_told(rabbitmq: RabbitMq) -> None:
    async with connector(settings(rabbitmq), SystemClock()).outlet() as outlet, channel(rabbitmq) as device:
        arguments: dict[str, Any] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await device.declare_queue(exclusive=True, arguments=arguments)
        messages = [Outgoing("", queue.name, b"1"), Outgoing("", queue.name, b"2"), Outgoing("", "no-such", b"3")]
        assert await outlet.publish(messages) == [Receipt.TAKEN, Receipt.REFUSED, Receipt.UNROUTABLE]


async def test_second_bridge_is_a_stand_by(rabbitmq: RabbitMq) -> None:
    made = connector(settings(rabbitmq), SystemClock())
    async with made.outlet() as outlet, made.inlet() as second_after, contextlib.AsyncExitStack() as stack:
        standby = await stack.enter_async_context(made.inlet())
        await outlet.publish([Outgoing("twinstream", TELEMETRY, b"%d" % number) for number in range(20)])
        taken: list[bytes] = []
        while len(taken) < 20:
            taken += [delivery.payload for delivery in await second_after.receive()]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await standby.receive()
        await second_after.__aexit__(None, None, None)
        assert msgspec.json.decode((await standby.receive())[0].payload) == 0


async def test_a_bridge_that_is_limited_to_its_types_lets_go_of_the_others(rabbitmq: RabbitMq) -> None:
    everything = settings(rabbitmq)
    limited = everything.model_copy(update={"types": ("incubator",)})
    async with connector(everything, SystemClock()).inlet():
        pass
    async with connector(limited, SystemClock()).inlet() as inlet, connector(limited, SystemClock()).outlet() as outlet:
        other = "twins.tank.t-1.telemetry"
        await outlet.publish([Outgoing("twinstream", key, b"1") for key in (other, TELEMETRY)])
        assert [delivery.address for delivery in await inlet.receive()] == [TELEMETRY]


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_a_bridge_that_dies_25_times_before_it_acknowledges_loses_nothing(
    rabbitmq: RabbitMq, queue_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = connector(settings(rabbitmq, queue_type=queue_type), SystemClock())
    async with made.inlet(), made.outlet() as outlet:
        await outlet.publish([Outgoing("twinstream", TELEMETRY, b"%d" % number) for number in range(50)])
    for _ in range(25):
        async with made.inlet() as inlet, asyncio.timeout(5):
            assert (await inlet.receive())[0].payload == b"0"
    async with made.inlet() as inlet, asyncio.timeout(5):
        taken: list[bytes] = []
        while len(taken) < 50:
            deliveries = await inlet.receive()
            taken += [delivery.payload for delivery in deliveries]
            await inlet.acknowledge(deliveries[-1])
    assert taken == [b"%d" % number for number in range(50)]
    assert ("come again and again" in capsys.readouterr().out) == (queue_type == "quorum")


@pytest.fixture
async def short_patience(rabbitmq: RabbitMq) -> AsyncIterator[None]:
    """RabbitMQ waits for an acknowledgement for half a second instead of half an hour."""
    for name, value_ms in (("consumer_timeout", 500), ("channel_tick_interval", 200)):
        await rabbitmq.control("eval", f"application:set_env(rabbit, {name}, {value_ms}).")
    yield
    for name, value_ms in (("consumer_timeout", 1_800_000), ("channel_tick_interval", 60_000)):
        await rabbitmq.control("eval", f"application:set_env(rabbit, {name}, {value_ms}).")


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_a_kafka_that_is_away_for_longer_than_rabbitmq_waits_loses_nothing_and_keeps_order(
    rabbitmq: RabbitMq, short_patience: None, queue_type: str
) -> None:
    del short_patience
    log, made = MemoryLog(), connector(settings(rabbitmq, queue_type=queue_type), SystemClock())
    async with made.inlet():
        pass
    log.hold()
    async with bridged(made, log), made.outlet() as outlet:
        await outlet.publish([Outgoing("twinstream", TELEMETRY, b"%d" % number) for number in range(20)])
        # Delivered on one connection after another, each of which RabbitMQ ends.
        await until(lambda: log.waiting >= 60)
        log.release()
        await until(lambda: len(log.records.get(INPUT, [])) >= 60)
        await asyncio.sleep(1.5)
        values = [record.value for record in log.records[INPUT]]
    assert list(dict.fromkeys(values)) == [b"%d" % number for number in range(20)]
    async with made.inlet() as inlet:  # all of it is acknowledged
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await inlet.receive()


class NoText(str):
    """What a client in another language may send where text belongs."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"twins.incubator.\xff\xfe.telemetry"


async def test_frame_that_no_text_or_calendar_can_hold_stops_nobody(
    rabbitmq: RabbitMq, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MemoryLog()
    # A device that counts nanoseconds where AMQP wants seconds.
    monkeypatch.setitem(pamqp.encode.METHODS, "timestamp", lambda _: struct.pack(">Q", 1_700_000_000_000_000_000))
    async with bridged(connector(settings(rabbitmq), SystemClock()), log), channel(rabbitmq) as device:
        exchange = await device.declare_exchange("twinstream", "topic", durable=True)
        await asyncio.sleep(0.5)
        await exchange.publish(aio_pika.Message(b"bad"), NoText("x"))
        await exchange.publish(aio_pika.Message(b"1", timestamp=1), TELEMETRY)
        await exchange.publish(aio_pika.Message(b"2", headers={NoText("x"): "y"}), TELEMETRY)
        await exchange.publish(aio_pika.Message(b"3"), TELEMETRY)
        # The note of what was refused comes first.
        await until(lambda: len(log.records.get(INPUT, [])) >= 4)
    telemetry = [record.value for record in log.records[INPUT] if not record.header("ts-kind")]
    assert telemetry == [b"1", b"2", b"3"]
    (letter,) = [msgspec.json.decode(record.value or b"") for record in log.records["twinstream.deadletter"]]
    assert letter["reason"] == "invalid_name"
    assert letter["source"] == "amqp:twinstream/twins.incubator.\\xff\\xfe.telemetry"


async def test_a_body_that_is_packed_is_unpacked_and_one_that_is_not_what_it_says_stops_nobody(
    rabbitmq: RabbitMq,
) -> None:
    log = MemoryLog()
    async with bridged(connector(settings(rabbitmq), SystemClock()), log), channel(rabbitmq) as device:
        exchange = await device.declare_exchange("twinstream", "topic", durable=True)
        await asyncio.sleep(0.5)
        for body, encoding in ((gzip.compress(b"1"), "gzip"), (b"bad", "gzip"), (zlib.compress(b"2"), "deflate")):
            await exchange.publish(aio_pika.Message(body, content_encoding=encoding), TELEMETRY)
        await until(lambda: len(log.records.get(INPUT, [])) >= 3)
    assert [record.value for record in log.records[INPUT] if record.header("ts-kind") != b"refused"] == [b"1", b"2"]
    (letter,) = [msgspec.json.decode(record.value or b"") for record in log.records["twinstream.deadletter"]]
    assert letter["reason"] == "undecodable"
