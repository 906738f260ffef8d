"""Real brokers that end the connection instead of refusing a message: it is told as refused, the next ones leave."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import msgspec
import pytest
from servers.availability import unavailable
from servers.rabbitmq import RabbitMq
from support.brokers import until

from connectors import reconnect
from connectors.amqp.connector import connector as amqp_connector
from connectors.amqp.settings import AmqpSettings
from connectors.bridge_out import OUTPUT_PATTERN, OutboundBridge
from connectors.connector import Connector
from connectors.memory.log import MemoryLog
from connectors.mqtt.connector import connector as mqtt_connector
from connectors.mqtt.settings import MqttSettings
from infra.embedded.mqtt import EmbeddedMqtt, find_mosquitto
from schemas.clock import NS_PER_S, SystemClock
from schemas.messages import Cause, Command, encode

pytestmark = pytest.mark.system

COMMANDS, EVENTS, DEADLETTER = "twinstream.tank.commands", "twinstream.tank.events", "twinstream.deadletter"


class SmallMosquitto(EmbeddedMqtt):
    """Mosquitto with a limit that it tells nobody who speaks MQTT 3.1.1."""

    async def _command(self) -> list[str]:
        command = await super()._command()
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(configuration.read_text("utf-8") + "max_packet_size 2000\n", "utf-8")
        return command


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "FIRST_DELAY_S", 0.01)


def _command(name: str, twin: str = "t", value: str = "open") -> bytes:
    now_ns = SystemClock().now_ns()
    return encode(
        Command(
            id=name,
            type="tank",
            twin=twin,
            name="valve",
            value=value,
            issued_ns=now_ns,
            expires_ns=now_ns + 120 * NS_PER_S,
            cause=Cause(partition=0, offset=0, definition="d", parameters=0),
        )
    )


@contextlib.asynccontextmanager
async def _bridge(made: Connector, log: MemoryLog) -> AsyncIterator[None]:
    bridge = OutboundBridge(
        connector=made, reader=lambda: log.reader("g", OUTPUT_PATTERN), writer=log.writer, clock=SystemClock()
    )
    task = asyncio.create_task(bridge.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _told(made: Connector, bad: bytes) -> None:
    """Send three commands, the second of which is `bad`, and look at what becomes of them."""
    log = MemoryLog()
    for value in (_command("c1"), bad, _command("c3")):
        log.send(COMMANDS, b"t", value, ())
    async with _bridge(made, log):
        await until(lambda: log.committed("g", COMMANDS) == 3, 30)
    events = [msgspec.json.decode(record.value or b"") for record in log.records[EVENTS]]
    assert [(event["name"], event["data"]["id"]) for event in events] == [
        ("command_sent", "c1"), ("command_refused", "c2"), ("command_sent", "c3"),
    ]  # fmt: skip
    letters = [msgspec.json.decode(record.value or b"") for record in log.records[DEADLETTER]]
    assert (letters[0]["reason"], letters[0]["source"]) == ("broker_refused", f"kafka:{COMMANDS}/0/1")


async def test_command_that_is_too_large_for_a_broker_of_mqtt_3_is_refused_alone(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        unavailable("Mosquitto", "the system package mosquitto is not installed")
    async with SmallMosquitto(tmp_path, 0, prefer="mosquitto") as server:
        made = mqtt_connector(MqttSettings(url=server.url, protocol="3.1.1"), SystemClock())
        await _told(made, _command("c2", value="x" * 4000))


async def test_command_with_a_routing_key_that_is_forbidden_to_us_is_refused_alone(rabbitmq: RabbitMq) -> None:
    user = f"u{uuid.uuid4().hex[:8]}"
    await rabbitmq.control("add_user", user, "secret")
    try:
        await rabbitmq.control("set_permissions", user, ".*", ".*", ".*")
        allowed = r"^twins\.tank\.t\..*"
        await rabbitmq.control("set_topic_permissions", user, "twinstream", allowed, ".*")
        url = rabbitmq.url.replace("guest:guest", f"{user}:secret")
        await _told(amqp_connector(AmqpSettings(url=url), SystemClock()), _command("c2", twin="forbidden"))
    finally:
        await rabbitmq.control("delete_user", user)


async def test_command_to_an_exchange_that_is_gone_is_sent_once_it_is_declared_again(rabbitmq: RabbitMq) -> None:
    name = f"gone-{uuid.uuid4().hex}"
    outbound = [{"exchange": name, "key": "k"}]
    keys = {"url": rabbitmq.url, "exchanges": {name: {}}, "outbound": outbound, "default_routes": False}
    made = amqp_connector(AmqpSettings.model_validate(keys), SystemClock())
    log = MemoryLog()
    async with _bridge(made, log):
        log.send(COMMANDS, b"t", _command("c1"), ())
        await until(lambda: log.committed("g", COMMANDS) == 1)
        async with await aio_pika.connect(rabbitmq.url) as connection:
            await (await connection.channel()).exchange_delete(name)
        log.send(COMMANDS, b"t", _command("c2"), ())
        await until(lambda: log.committed("g", COMMANDS) == 2)
    events = [msgspec.json.decode(record.value or b"") for record in log.records[EVENTS]]
    assert [event["name"] for event in events] == ["command_sent"] * 2
