"""The backbone on real servers: RabbitMQ and Mosquitto in front, InfluxDB and MongoDB's protocol behind."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import numpy as np
import pymongo
import pytest
import yaml
from influxdb_client import InfluxDBClient
from reference.incubator_reference import replay
from reference.recordings import ROOM_T3, read_recording
from servers.rabbitmq import RabbitMq
from support.instance import ROOT, Instance, eventually

from infra.bench.servers.influxdb import InfluxDb
from infra.bench.servers.secantus import Secantus
from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.mqtt import EmbeddedMqtt

FIELDS = ("average_temperature", "T_air", "T_heater", "prediction_error", "lid_open", "heater_command", "fan_command")
WIRE = ROOT / "examples" / "incubator" / "incubator-amqp.yaml"
COUNT = 200

pytestmark = [pytest.mark.kafka, pytest.mark.system, pytest.mark.recordings, pytest.mark.timeout(240)]

Rows = list[dict[str, int | float | bool]]


@pytest.fixture(scope="module")
def configuration(
    tmp_path_factory: pytest.TempPathFactory,
    own_kafka: EmbeddedKafka,
    mosquitto: EmbeddedMqtt,
    rabbitmq: RabbitMq,
    influxdb: InfluxDb,
    secantus: Secantus,
) -> Path:
    """The incubator's own wire on AMQP, and every server a real one."""
    settings: dict[str, Any] = yaml.safe_load(WIRE.read_text())
    settings["kafka"] = {"bootstrap_servers": own_kafka.bootstrap_servers}
    settings["mqtt"] = {"url": mosquitto.url}
    settings.setdefault("amqp", {})["url"] = rabbitmq.url
    settings["timeseries"] = {
        "url": influxdb.url,
        "token": influxdb.token,
        "org": influxdb.org,
        "bucket": influxdb.bucket,
    }
    settings["metadata"] = {"url": secantus.url}
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def site(configuration: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("up"), "up", "-c", str(configuration)) as running:
        running.run("deploy", str(ROOT / "examples" / "incubator"))
        yield running


@pytest.fixture(scope="module")
def rows(recordings: Path) -> Rows:
    return read_recording(recordings / ROOM_T3)[:COUNT]


def series(site: Instance, twin: str, field: str) -> tuple[list[int], list[float]]:
    answer = httpx.get(f"{site.api}/api/twins/incubator/{twin}/series", params={"field": field}, timeout=10)
    if answer.status_code == 404:
        return [], []
    return answer.json()["time_ns"], answer.json()["value"]


async def assert_estimates(site: Instance, twin: str, rows: Rows) -> dict[str, Any]:
    expected = replay(rows)

    def stored() -> bool:
        return all(len(series(site, twin, field)[0]) == len(rows) for field in FIELDS)

    await asyncio.to_thread(eventually, stored, f"all points of {twin} are stored", 60)
    for field in FIELDS:
        time_ns, value = series(site, twin, field)
        assert time_ns == [row["time"] for row in rows]
        np.testing.assert_allclose(value, expected[field].astype(float), rtol=0, atol=1e-9, err_msg=field)
    return expected


async def heard(queue: aio_pika.abc.AbstractQueue, count: int) -> list[tuple[str, Any]]:
    """The next `count` messages of a queue: routing key and body."""
    found: list[tuple[str, Any]] = []
    async with asyncio.timeout(30), queue.iterator() as messages:
        async for message in messages:
            async with message.process():
                found.append((message.routing_key or "", json.loads(message.body)))
            if len(found) == count:
                break
    return found


async def test_recording_over_amqp_comes_out_as_estimates_in_influxdb_and_documents(
    site: Instance, rows: Rows, rabbitmq: RabbitMq, influxdb: InfluxDb, secantus: Secantus
) -> None:
    twin = "amqp-2023"
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("twinstream")
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, f"twins.incubator.{twin}.commands.*")
        for index, row in enumerate(rows):
            names = ("time", "t1", "t2", "t3", "heater_on", "fan_on")
            body = json.dumps({**{name: row[name] for name in names}, "seq": index + 1}).encode()
            await exchange.publish(aio_pika.Message(body), f"twins.incubator.{twin}.telemetry")
        await assert_estimates(site, twin, rows)
        commands = await heard(queue, 2)
    assert {key.rsplit(".", 1)[1] for key, _ in commands} == {"heater", "fan"}
    assert all(command["twin"] == twin and command["issued_ns"] == rows[0]["time"] for _, command in commands)
    with InfluxDBClient(influxdb.url, influxdb.token, org=influxdb.org) as client:
        query = (
            f'from(bucket: "{influxdb.bucket}") |> range(start: 2023-01-01T00:00:00Z) |> filter(fn: (r) => '
            f'r._measurement == "incubator" and r.twin == "{twin}" and r._field == "T_heater") |> count()'
        )
        assert client.query_api().query(query)[0].records[0].get_value() == COUNT
    with pymongo.MongoClient[dict[str, Any]](secantus.url) as documents:
        store = documents["twinstream"]
        assert eventually(lambda: store.twins.find_one({"id": twin}), "the twin's document")["type"] == "incubator"
        assert eventually(lambda: store.commands.find_one({"twin": twin, "status": "sent"}), "a sent command")


async def test_incubator_that_speaks_its_own_wire_needs_no_change(
    site: Instance, rows: Rows, rabbitmq: RabbitMq
) -> None:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("Incubator_AMQP", aio_pika.ExchangeType.TOPIC)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "incubator.hardware.gpio.#")
        for row in rows:
            fields = {name: row[name] for name in ("t1", "t2", "t3", "heater_on", "fan_on")}
            record = {
                "measurement": "low_level_driver",
                "time": row["time"],
                "tags": {"source": "low_level_driver"},
                "fields": {**fields, "execution_interval": 3.0, "elapsed": 1.0, "time_t1": row["time"]},
            }
            await exchange.publish(aio_pika.Message(json.dumps(record).encode()), "incubator.record.driver.state")
        expected = await assert_estimates(site, "incubator-1", rows)
        orders = await heard(queue, 2)
        assert ("incubator.hardware.gpio.heater.on", {"heater": bool(expected["heater_command"][0])}) in orders
        assert ("incubator.hardware.gpio.fan.on", {"fan": True}) in orders
        update = aio_pika.Message(b'{"temperature_desired": 31}')
        await exchange.publish(update, "incubator.update.closed_loop_controller.parameters")

    def changed() -> bool:
        twin = site.get("/api/twins/incubator/incubator-1")
        return bool(twin["parameters"]["temperature_desired"] == 31.0)

    await asyncio.to_thread(eventually, changed, "the set-point from the incubator's own key")


def test_secrets_are_nowhere_to_be_read(site: Instance, configuration: Path, influxdb: InfluxDb) -> None:
    places = [site.run("status", "--json"), *site.output]
    places += [path.read_text(errors="replace") for path in (site.data_dir / "logs").iterdir() if path.is_file()]
    assert not [text for text in places if influxdb.token in text]
    for path in site.data_dir.rglob("*"):
        readable = path.is_file() and path.stat().st_size < 10**6 and path.stat().st_mode & 0o077
        assert not (readable and influxdb.token.encode() in path.read_bytes()), path
    assert influxdb.token in configuration.read_text()
