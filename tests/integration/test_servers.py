"""The servers of the tests themselves: each fixture gives what it says."""

import asyncio
import ssl
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import httpx
import paho.mqtt.client as mqtt
import pymongo
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from paho.mqtt.enums import CallbackAPIVersion
from servers.kafka import SecuredKafka
from servers.mosquitto import SecuredMosquitto
from servers.prometheus import Prometheus
from servers.rabbitmq import RabbitMq

from infra.bench.servers.influxdb import InfluxDb
from infra.bench.servers.secantus import Secantus
from infra.embedded import EmbeddedMqtt
from infra.embedded.ports import LOOPBACK, accepts, free_port
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter

pytestmark = pytest.mark.system


def _connect(url: str, *, account: tuple[str, str] | None = None, ca_file: Path | None = None) -> int:
    """Connect and return the broker's answer, 0 being yes."""
    answers: list[int] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason.value)
    if account:
        client.username_pw_set(*account)
    if ca_file:
        client.tls_set(str(ca_file))
    where = urlsplit(url)
    client.connect(str(where.hostname), where.port or 0)
    deadline_s = time.monotonic() + 10
    while not answers and time.monotonic() < deadline_s:
        client.loop(0.1)
    client.disconnect()
    return answers[0]


def test_mosquitto_takes_anybody_on_the_loopback_address(mosquitto: EmbeddedMqtt) -> None:
    assert _connect(mosquitto.url) == 0


def test_secured_mosquitto_wants_the_password_and_speaks_tls(secured_mosquitto: SecuredMosquitto) -> None:
    account = (secured_mosquitto.username, secured_mosquitto.password)
    assert _connect(secured_mosquitto.url) != 0
    assert _connect(secured_mosquitto.url, account=account) == 0
    assert _connect(secured_mosquitto.tls_url, account=account, ca_file=secured_mosquitto.ca_file) == 0


async def test_secured_kafka_wants_tls_and_the_password(secured_kafka: SecuredKafka) -> None:
    options = KafkaOptions(
        secured_kafka.secured_servers,
        tls=True,
        username=secured_kafka.username,
        password=secured_kafka.password,
        ca_file=str(secured_kafka.ca_file),
    )
    async with LogAdmin(options) as admin:
        await admin.ensure_topics(["secured"], partitions=1)
    async with LogWriter(options) as writer:
        assert await (await writer.send("secured", b"key", b"value")) == (0, 0)
    client = AIOKafkaClient(**replace(options, password=options.password[:-1]).client_kwargs())
    try:
        with pytest.raises(KafkaConnectionError):
            await client.bootstrap()
    finally:
        await client.close()


async def test_rabbitmq_has_quorum_queues_tls_and_outages(rabbitmq: RabbitMq) -> None:
    context = ssl.create_default_context(cafile=str(rabbitmq.ca_file))
    async with await aio_pika.connect(rabbitmq.tls_url, ssl_context=context) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("servers", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(b"kept"), routing_key=queue.name)
    await rabbitmq.control("stop_app")
    assert not accepts(rabbitmq.port)
    await rabbitmq.control("start_app")
    async with await aio_pika.connect(rabbitmq.url) as connection:
        queue = await (await connection.channel()).get_queue("servers")
        message = await queue.get(timeout=10)
        assert message.body == b"kept"
        await message.ack()
        await queue.delete(if_unused=False, if_empty=False)


async def test_influxdb_takes_line_protocol_into_its_bucket(influxdb: InfluxDb) -> None:
    access = {"Authorization": f"Token {influxdb.token}"}
    async with httpx.AsyncClient(base_url=influxdb.url, headers=access) as client:
        place = {"org": influxdb.org, "bucket": influxdb.bucket}
        written = await client.post("/api/v2/write", params=place, content=b"servers,twin=one value=1.5 1000000000")
        assert written.status_code == httpx.codes.NO_CONTENT
        flux = f'from(bucket: "{influxdb.bucket}") |> range(start: 0) |> filter(fn: (r) => r.twin == "one")'
        found = await client.post("/api/v2/query", params={"org": influxdb.org}, json={"query": flux})
        assert ",1.5," in found.raise_for_status().text


def test_secantus_refuses_a_second_document_of_the_same_id(secantus: Secantus) -> None:
    with pymongo.MongoClient[dict[str, object]](secantus.url) as client:
        collection = client["servers"]["documents"]
        collection.drop()
        collection.insert_one({"_id": "one", "value": 1})
        with pytest.raises(pymongo.errors.DuplicateKeyError):
            collection.insert_one({"_id": "one", "value": 2})
        assert collection.find_one({"_id": "one"}) == {"_id": "one", "value": 1}


async def test_prometheus_scrapes_what_it_is_told_to(prometheus: Prometheus) -> None:
    prometheus.scrape(itself=f"{LOOPBACK}:{prometheus.port}", nobody=f"{LOOPBACK}:{free_port()}")
    async with asyncio.timeout(30):
        while True:
            found = {str(row["metric"]["job"]): row["value"] for row in await prometheus.query("up")}  # type: ignore[index]
            values = {job: value[1] for job, value in found.items()}  # type: ignore[index]
            if values == {"itself": "1", "nobody": "0"}:
                return
            await asyncio.sleep(0.2)
