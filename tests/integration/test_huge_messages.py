"""A device that sends huge messages loses its connection, and the bridge goes on, in little memory."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from servers.availability import unavailable
from servers.rabbitmq import RabbitMq
from support.brokers import MqttUnderTest, until

from connectors.amqp.connector import connector as amqp_connector
from connectors.amqp.settings import AmqpSettings
from connectors.bridge_in import InboundBridge
from connectors.connector import Connector
from connectors.memory.log import MemoryLog
from connectors.observer import Silent
from infra.bench.servers.rabbitmq import find_rabbitmq
from infra.embedded.mqtt import EmbeddedMqtt, find_mosquitto
from infra.embedded.ports import LOOPBACK
from schemas.clock import SystemClock
from schemas.topics import PACKET_MAX_BYTES

pytestmark = pytest.mark.system

DEPLOY = Path(__file__).parents[2] / "infra" / "deploy"
TOPIC, INPUT = "twins/tank/t-1/telemetry", "twinstream.tank.telemetry"
LETTERS = "twinstream.deadletter"
_TIMEOUT_S = 20.0


class Connected(Silent):
    """Tells when the bridge has subscribed."""

    def __init__(self) -> None:
        self.up = asyncio.Event()

    def connected(self, direction: str, *, up: bool) -> None:  # noqa: ARG002 - of the port
        if up:
            self.up.set()


@contextlib.asynccontextmanager
async def bridge(made: Connector, log: MemoryLog) -> AsyncIterator[None]:
    seen = Connected()
    way = InboundBridge(
        connector=made, writer=log.writer, known_type=lambda _: True, clock=SystemClock(), observer=seen
    ).run()
    task = asyncio.ensure_future(way)
    try:
        await asyncio.wait_for(seen.up.wait(), _TIMEOUT_S)
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def is_hung_up_on(port: int, protocol: str, size_bytes: int) -> bool:
    """Whether the broker ends the connection of a device that announces and sends a message of this size."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    name, five = uuid.uuid4().hex.encode(), protocol == "5"
    hello = b"\x00\x04MQTT" + (b"\x05" if five else b"\x04") + b"\x02\x00\x3c" + (b"\x00" if five else b"")
    hello += len(name).to_bytes(2, "big") + name
    writer.write(bytes([0x10, len(hello)]) + hello)
    await reader.readexactly(4)
    head = len(TOPIC).to_bytes(2, "big") + TOPIC.encode() + b"\x00\x01" + (b"\x00" if five else b"")
    length, digits = size_bytes, b""
    while length:
        length, digit = divmod(length, 128)
        digits += bytes([digit | (0x80 if length else 0)])
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            writer.write(b"\x32" + digits + head + bytes(size_bytes - len(head)))
            answered = b""
            while data := await reader.read(100):
                answered += data
                if b"\x40\x02\x00\x01" in answered:
                    return False
    except ConnectionError:
        return True
    finally:
        writer.transport.abort()
    return True


async def mqtt_goes_on(under_test: MqttUnderTest) -> None:
    log = MemoryLog()
    port = int(under_test.url.rpartition(":")[2])
    async with bridge(under_test.connector(SystemClock()), log):
        await under_test.publish([(TOPIC, b"1")])
        for _ in range(3):
            assert await is_hung_up_on(port, under_test.protocol, PACKET_MAX_BYTES + 1000)
        await under_test.publish([(TOPIC, bytes(PACKET_MAX_BYTES - 1000)), (TOPIC, b"2")])
        await until(lambda: len(log.records.get(INPUT, [])) == 3)
    # The one that the broker takes and we don't is a dead letter; the note of it is for the loss account.
    assert [record.value for record in log.records[INPUT]] == [b"1", b"null", b"2"]
    assert len(log.records[LETTERS]) == 1


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
async def test_the_embedded_broker_takes_no_huge_message(kind: str, protocol: str, tmp_path: Path) -> None:
    if kind == "mosquitto" and find_mosquitto() is None:
        unavailable("Mosquitto", "the system package mosquitto is not installed")
    under_test = MqttUnderTest(tmp_path, kind, protocol)
    await under_test.start()
    try:
        await mqtt_goes_on(under_test)
    finally:
        await under_test.close()


class UnlimitedMosquitto(EmbeddedMqtt):
    """Mosquitto as others run it."""

    async def _command(self) -> list[str]:
        command = await super()._command()
        configuration = self._folder / "mosquitto.conf"
        text = configuration.read_text("utf-8")
        limit = f"max_packet_size {PACKET_MAX_BYTES}\n"
        assert limit in text
        configuration.write_text(text.replace(limit, ""), "utf-8")
        return command


async def test_a_bridge_of_mqtt_5_reads_no_huge_message_of_a_broker_without_a_limit(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        unavailable("Mosquitto", "the system package mosquitto is not installed")
    async with UnlimitedMosquitto(tmp_path, 0, prefer="mosquitto") as server:
        under_test = MqttUnderTest(tmp_path, "mosquitto", "5")
        under_test._server = server  # noqa: SLF001 - the one that is tested is to have no limit
        log = MemoryLog()
        async with bridge(under_test.connector(SystemClock()), log):
            await under_test.publish([(TOPIC, b"1")])
            assert not await is_hung_up_on(server.port, "5", PACKET_MAX_BYTES + 1000)
            await under_test.publish([(TOPIC, b"2")])
            await until(lambda: len(log.records.get(INPUT, [])) == 2)
    assert LETTERS not in log.records


async def test_rabbitmq_as_we_ship_it_takes_no_huge_message(tmp_path: Path) -> None:
    if find_rabbitmq() is None:
        unavailable("RabbitMQ", "the system package rabbitmq-server is not installed")
    limit = [line for line in (DEPLOY / "rabbitmq.conf").read_text("utf-8").splitlines() if "size" in line]
    log = MemoryLog()
    async with RabbitMq(tmp_path, further=limit) as node:
        made = amqp_connector(AmqpSettings(url=node.url), SystemClock())
        async with bridge(made, log), await aio_pika.connect(node.url) as device:
            channel = await device.channel()
            exchange = await channel.declare_exchange("twinstream", "topic", durable=True)
            key = TOPIC.replace("/", ".")
            with pytest.raises((AMQPError, RuntimeError)):
                await exchange.publish(aio_pika.Message(bytes(PACKET_MAX_BYTES + 1)), key, timeout=_TIMEOUT_S)
            again = await (await device.channel()).get_exchange("twinstream")

            async def arrives() -> None:
                while not log.records.get(INPUT):
                    await again.publish(aio_pika.Message(b"2"), key)
                    await asyncio.sleep(0.1)

            await asyncio.wait_for(arrives(), _TIMEOUT_S)
    assert {record.value for record in log.records[INPUT]} == {b"2"}


def test_the_files_that_we_ship_have_the_limit_of_the_bridge() -> None:
    said = {
        name: re.findall(
            r"^max_(?:packet|message)_size(?: = | )(\d+)$", (DEPLOY / name).read_text("utf-8"), re.MULTILINE
        )
        for name in ("mosquitto.conf", "rabbitmq.conf")
    }
    assert said == {"mosquitto.conf": [str(PACKET_MAX_BYTES)], "rabbitmq.conf": [str(PACKET_MAX_BYTES)]}
