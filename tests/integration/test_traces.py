"""One trace from the device through bridge, log, worker, sinks and bridge back to the device, told to a collector."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import aio_pika
import httpx
import pytest
import yaml
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from servers.collector import Collector, Told
from servers.rabbitmq import RabbitMq
from support.bridging import records_of
from support.brokers import until
from support.instance import ROOT, Instance, eventually

from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.mqtt import EmbeddedMqtt
from schemas.headers import TRACEPARENT
from schemas.topics import TypeTopics
from streams.log.record import LogRecord

pytestmark = [pytest.mark.kafka, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]

TOPICS = TypeTopics("statistics")
CONSUMER, PRODUCER, SERVER = 5, 4, 2
"""Kinds of spans as OTLP numbers them."""
EXPORTED = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_SERVICE_NAME": "site"}


class Parent(NamedTuple):
    """What a device says of its trace."""

    trace: str
    span: str
    flags: str = "01"

    @property
    def text(self) -> str:
        return f"00-{self.trace}-{self.span}-{self.flags}"


def parent(flags: str = "01") -> Parent:
    return Parent(secrets.token_hex(16), secrets.token_hex(8), flags)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def site(
    tmp_path_factory: pytest.TempPathFactory,
    own_kafka: EmbeddedKafka,
    mosquitto: EmbeddedMqtt,
    rabbitmq: RabbitMq,
    collector: Collector,
) -> Iterator[Instance]:
    settings = {
        "kafka": {"bootstrap_servers": own_kafka.bootstrap_servers},
        "mqtt": {"url": mosquitto.url},
        "amqp": {"url": rabbitmq.url},
    }
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text(yaml.safe_dump(settings))
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **EXPORTED}
    folder = tmp_path_factory.mktemp("up")
    with Instance(folder, "up", "-c", str(path), environment=environment) as running:
        running.run("deploy", str(ROOT / "tests" / "types" / "statistics"))
        yield running


class Device:
    """An MQTT 5 client: publishes telemetry, and keeps the commands that it gets and what they say of their trace."""

    def __init__(self, url: str, twin: str) -> None:
        self._twin = twin
        self.commands: list[tuple[dict[str, object], str]] = []
        host, _, port = url.removeprefix("mqtt://").partition(":")
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = self._arrived
        self._subscribed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def connected(*_: Any) -> None:
            self._client.subscribe(f"twins/statistics/{twin}/commands/+", 1)

        def subscribed(*_: Any) -> None:
            loop.call_soon_threadsafe(self._subscribed.set)

        self._client.on_connect = connected
        self._client.on_subscribe = subscribed
        self._client.connect(host, int(port))
        self._client.loop_start()

    async def __aenter__(self) -> Self:
        await asyncio.wait_for(self._subscribed.wait(), 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, value: float, traceparent: str) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = [("plant", "north"), (TRACEPARENT, traceparent)]
        payload = json.dumps({"value": value})
        info = self._client.publish(f"twins/statistics/{self._twin}/telemetry", payload, 1, properties=properties)
        info.wait_for_publish(10)

    def _arrived(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        said = dict(getattr(message.properties, "UserProperty", ()))
        self.commands.append((json.loads(message.payload), said.get(TRACEPARENT, "")))


async def record_of(kafka: EmbeddedKafka, topic: str, twin: str) -> LogRecord:
    """The only record of a twin in a topic."""
    wanted = 1
    while True:
        records = await records_of(kafka.bootstrap_servers, topic, wanted)
        found = [record for record in records if record.key == twin.encode()]
        if found:
            (record,) = found
            return record
        wanted = len({record.value for record in records}) + 1


async def told_of(collector: Collector, trace: str, name: str, about: str = "") -> Told:
    """The only span of a trace with this name, about messages whose address has `about` in it."""
    await asyncio.to_thread(eventually, lambda: collector.of(trace, name, about), f"a span {name}")
    (found,) = collector.of(trace, name, about)
    return found


async def test_what_an_mqtt_device_sends_is_one_trace_to_the_command_that_it_gets(
    own_kafka: EmbeddedKafka, mosquitto: EmbeddedMqtt, collector: Collector
) -> None:
    cause = parent()
    async with Device(mosquitto.url, "mqtt-1") as device:
        device.send(95.0, cause.text)
        await until(lambda: device.commands, 30)
    ((command, heard),) = device.commands
    telemetry = await record_of(own_kafka, TOPICS.telemetry, "mqtt-1")
    sent = await record_of(own_kafka, TOPICS.commands, "mqtt-1")
    came = await told_of(collector, cause.trace, "bridge mqtt in")
    stepped = await told_of(collector, cause.trace, "step statistics")
    left = await told_of(collector, cause.trace, "bridge mqtt out", "commands")
    stored = await told_of(collector, cause.trace, "sink time series")
    assert command["value"] is True
    assert came.parent == cause.span
    assert telemetry.header(TRACEPARENT).decode() == f"00-{cause.trace}-{came.span}-01"
    assert stepped.parent == came.span
    assert sent.header(TRACEPARENT).decode() == f"00-{cause.trace}-{stepped.span}-01"
    assert left.parent == stepped.span
    assert heard == f"00-{cause.trace}-{left.span}-01"
    assert stored.parent == stepped.span
    assert [one.kind for one in (came, stepped, left, stored)] == [CONSUMER, CONSUMER, PRODUCER, CONSUMER]
    assert [one.role for one in (came, stepped, left, stored)] == [
        "bridge:mqtt",
        "worker:statistics",
        "bridge:mqtt",
        "sink:timeseries",
    ]
    assert {one.service for one in (came, stepped, left, stored)} == {"site"}
    assert all(0 < one.seconds < 30 for one in (came, stepped, left, stored))
    assert stepped.attributes["twinstream.twin"] == "mqtt-1"
    assert stepped.attributes.get("messaging.kafka.offset", 0) == telemetry.offset


async def test_what_an_amqp_device_sends_is_one_trace_to_the_command_that_it_gets(
    own_kafka: EmbeddedKafka, rabbitmq: RabbitMq, collector: Collector
) -> None:
    cause = parent()
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("twinstream")
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "twins.statistics.amqp-1.commands.*")
        message = aio_pika.Message(b'{"value": 95}', headers={TRACEPARENT: cause.text, "plant": 7})
        await exchange.publish(message, "twins.statistics.amqp-1.telemetry")
        async with asyncio.timeout(30), queue.iterator(no_ack=True) as messages:
            heard = await anext(messages)
    telemetry = await record_of(own_kafka, TOPICS.telemetry, "amqp-1")
    came = await told_of(collector, cause.trace, "bridge amqp in")
    stepped = await told_of(collector, cause.trace, "step statistics")
    left = await told_of(collector, cause.trace, "bridge amqp out", "commands")
    assert telemetry.header(TRACEPARENT).decode() == f"00-{cause.trace}-{came.span}-01"
    assert [came.parent, stepped.parent, left.parent] == [cause.span, came.span, stepped.span]
    assert heard.headers[TRACEPARENT] == f"00-{cause.trace}-{left.span}-01"


async def test_a_change_over_http_belongs_to_the_trace_of_its_request(
    site: Instance, own_kafka: EmbeddedKafka, collector: Collector
) -> None:
    cause = parent()
    path = f"{site.api}/api/twins/statistics/http-1"
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.put(path, json={"parameters": {"limit": 50}}, headers={TRACEPARENT: cause.text})
        unasked = await client.get(path)
    asked = await told_of(collector, cause.trace, "api PUT")
    stepped = await told_of(collector, cause.trace, "step statistics")
    stored = await told_of(collector, cause.trace, "sink metadata", ".metadata")
    record = await record_of(own_kafka, TOPICS.telemetry, "http-1")
    assert (answer.status_code, unasked.status_code) == (200, 200)
    assert record.header(TRACEPARENT).decode() == f"00-{cause.trace}-{asked.span}-01"
    assert [asked.parent, stepped.parent, stored.parent] == [cause.span, asked.span, stepped.span]
    assert (asked.kind, asked.attributes["http.response.status_code"]) == (SERVER, 200)
    assert asked.attributes["http.route"] == "/api/twins/{type}/{id}"


async def test_a_trace_that_nobody_samples_goes_on_untold(mosquitto: EmbeddedMqtt, collector: Collector) -> None:
    silent, told = parent("00"), parent()
    async with Device(mosquitto.url, "mqtt-2") as device:
        device.send(95.0, silent.text)
        await until(lambda: device.commands, 30)
    async with Device(mosquitto.url, "mqtt-3") as later:
        later.send(95.0, told.text)
        await until(lambda: later.commands, 30)
    await told_of(collector, told.trace, "bridge mqtt out", "commands")
    assert device.commands[0][1] == silent.text
    assert collector.of(silent.trace) == []


async def test_a_traceparent_that_says_nothing_changes_nothing(
    site: Instance, own_kafka: EmbeddedKafka, mosquitto: EmbeddedMqtt
) -> None:
    async with Device(mosquitto.url, "mqtt-4") as device:
        device.send(95.0, "00-" + "0" * 32 + "-" + "1" * 16 + "-01")
        await until(lambda: device.commands, 30)
    assert device.commands[0][1] == ""
    telemetry = await record_of(own_kafka, TOPICS.telemetry, "mqtt-4")
    assert TRACEPARENT not in dict(telemetry.headers)
    assert site.get("/api/deadletters")["items"] == []
