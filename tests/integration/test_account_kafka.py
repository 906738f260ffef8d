"""The loss account on a real Kafka: one loss in a million is found, and a worker that dies changes no figure."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from support.worker_process import WorkerProcess

from connectors.memory.stores import MemoryDocumentStore, MemorySeriesStore
from infra.deployment.switching import put_into_force
from infra.embedded.kafka import EmbeddedKafka
from infra.http import account_log
from infra.http.account import Accounts
from infra.http.backend import open_services
from infra.http.services import Services
from schemas.bundle import bundle_of
from schemas.headers import Headers, input_headers
from schemas.partitioning import partition_of
from schemas.topics import ACCOUNT, TypeTopics
from streams.log.client import KafkaOptions
from streams.log.follow import Follower

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

BOX = """
name: NAME
version: 1.0.0
inputs:
  t: {type: float, range: [0, 10]}
pipeline:
  - {name: average, step: running_statistics, inputs: {value: t}, outputs: [count, mean, variance]}
outputs: {timeseries: {fields: [mean], when: interval, interval_s: 1000}}
"""
TWINS = 50
RECORDS = 1_000_000
START_NS = 1_700_000_000_000_000_000

Record = tuple[str, bytes, Headers]
"""Twin, payload and headers."""


@pytest.fixture
async def type_name(kafka: EmbeddedKafka) -> str:
    name = f"box_{random.randrange(10**9)}"
    text = BOX.replace("NAME", name)
    await put_into_force(KafkaOptions(kafka.bootstrap_servers), bundle_of({"twin.yaml": text.encode()}), 8, who="tests")
    return name


@asynccontextmanager
async def services(bootstrap_servers: str, file: Path | None = None) -> AsyncIterator[Services]:
    stores = {"series": MemorySeriesStore(), "documents": MemoryDocumentStore()}
    async with open_services(KafkaOptions(bootstrap_servers), account_file=file, **stores) as found:  # type: ignore[arg-type]
        yield found


async def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.05)


async def produce(kafka: EmbeddedKafka, type_name: str, records: list[Record]) -> None:
    """Write whole batches: a record by itself costs far more."""
    topic = TypeTopics(type_name).telemetry
    by_partition: dict[int, list[Record]] = {}
    for record in records:
        by_partition.setdefault(partition_of(record[0], 8), []).append(record)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=True, max_batch_size=128 * 1024
    ) as producer:
        for partition, mine in by_partition.items():
            batch = producer.create_batch()
            for twin, value, headers in mine:
                made: dict[str, Any] = {"key": twin.encode(), "value": value, "timestamp": None, "headers": headers}
                if batch.append(**made) is None:
                    await producer.send_batch(batch, topic, partition=partition)
                    batch = producer.create_batch()
                    batch.append(**made)
            await (await producer.send_batch(batch, topic, partition=partition))


def row(services: Services, type_name: str) -> dict[str, int]:
    found = {item["source"]: item for item in services.accounts.rows(type_name)}
    return {name: number for name, number in found.get("mqtt", {}).items() if isinstance(number, int)}


async def test_one_loss_in_a_million_is_found(kafka: EmbeddedKafka, type_name: str, tmp_path: Path) -> None:
    headers = input_headers(received_ns=START_NS, source="mqtt:a/b")
    lost = RECORDS * 2 // 3
    each = RECORDS // TWINS
    records = [
        (f"twin-{number % TWINS}", b'{"t":1.0,"seq":%d,"boot":"b"}' % (number // TWINS + 1), headers)
        for number in range(RECORDS)
        if number != lost
    ]
    worker = WorkerProcess(type_name, kafka.bootstrap_servers, tmp_path / "worker")
    try:
        async with services(kafka.bootstrap_servers) as found:
            await produce(kafka, type_name, records)
            await until(lambda: row(found, type_name).get("received") == RECORDS - 1)
            assert row(found, type_name) == {
                "expected": RECORDS,
                "received": RECORDS - 1,
                "duplicate": 0,
                "late": 0,
                "deadlettered": 0,
                "missing": 1,
            }
            missing = {"type": type_name, "id": f"twin-{lost % TWINS}", "source": "mqtt", "missing": 1}
            counter = lost // TWINS + 1
            assert found.accounts.twins(type_name, 10) == [missing | {"ranges": [(counter, counter)]}]
            assert each >= counter
    finally:
        worker.end()


async def test_a_worker_that_is_killed_changes_no_figure(
    kafka: EmbeddedKafka, type_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_log, "PUBLISH_INTERVAL_S", 1.0)
    draw = random.Random(7)
    headers = input_headers(received_ns=START_NS, source="mqtt:a/b")
    records: list[Record] = []
    seen: dict[tuple[str, str], list[int]] = {}
    refused = 0
    for number in range(200_000):
        twin, boot = f"twin-{number % TWINS}", f"boot-{number // 70_000}"
        of_boot = seen.setdefault((twin, boot), [])
        seq = max(of_boot, default=0) + 1 if draw.random() > 0.02 else draw.randint(1, len(of_boot) + 5)
        if draw.random() < 0.01:
            continue
        bad = draw.random() < 0.01
        refused += bad
        of_boot.append(seq)
        records.append((twin, b'{"t":%d,"seq":%d,"boot":"%b"}' % (99 if bad else 1, seq, boot.encode()), headers))
    expected = sum(max(counters, default=0) for counters in seen.values())
    distinct = sum(len(set(counters)) for counters in seen.values())
    told = {
        "expected": expected,
        "received": len(records),
        "duplicate": len(records) - distinct,
        "late": 0,
        "deadlettered": refused,
        "missing": expected - distinct,
    }
    workers: list[WorkerProcess] = []
    file = tmp_path / "account.json"
    try:
        async with services(kafka.bootstrap_servers, file) as found:
            for part in range(4):
                workers.append(WorkerProcess(type_name, kafka.bootstrap_servers, tmp_path / f"worker-{part}"))
                share = records[part * len(records) // 4 : (part + 1) * len(records) // 4]
                await produce(kafka, type_name, share)
                wanted = (part + 0.5) * len(records) / 4 if part < 3 else len(records)
                await until(lambda wanted=wanted: row(found, type_name).get("received", 0) >= wanted)  # type: ignore[misc]
                if part < 3:
                    workers[-1].kill()
            assert row(found, type_name) == told
            published = await last_of(kafka, f"{type_name}/mqtt".encode(), told["received"])
            assert {name: published[name] for name in told} == told
            await until(lambda: Accounts(file).rows(type_name) == found.accounts.rows(type_name))
    finally:
        for worker in workers:
            worker.end()
    # Kafka is away now, as far as who asks next is concerned.
    async with services("127.0.0.1:1", file) as found:
        assert row(found, type_name) == told


async def last_of(kafka: EmbeddedKafka, key: bytes, received: int) -> dict[str, Any]:
    """The last record of the account's topic with a key, once it tells so many."""
    last: dict[str, Any] = {}
    async with asyncio.timeout(30), Follower(KafkaOptions(kafka.bootstrap_servers), topics=(ACCOUNT,)) as follower:
        while last.get("received") != received:
            for record in await follower.read(0.2):
                if record.key == key and record.value is not None:
                    last = msgspec.json.decode(record.value)
    return last
