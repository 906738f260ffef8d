"""What readers of our topics see of transactions that are aborted, or that a worker froze in."""

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from servers.background import BackgroundLoop

from infra.embedded import EmbeddedKafka
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter
from streams.options import EngineOptions
from streams.targets import Targets
from streams.transaction import PartitionTransactions

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(120)]

HELD_BACK_S = 15.0
LOOKS_MS = "transaction.abort.timed.out.transaction.cleanup.interval.ms"
KAFKAS_DEFAULT_MS = "10000"


@pytest.fixture(scope="module")
def default_kafka(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker that looks after transactions as seldom as Kafka does unless told otherwise."""
    server = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), port=0, overrides={LOOKS_MS: KAFKAS_DEFAULT_MS})
    servers_loop.enter(server)
    yield server
    servers_loop.leave(server)


async def _topic(kafka: KafkaOptions) -> str:
    name = f"readers-{random.randrange(10**9)}.events"
    async with LogAdmin(kafka) as admin:
        await admin.ensure_topics([name], partitions=1)
    return name


async def _frozen_in_a_transaction(options: EngineOptions, topic: str) -> PartitionTransactions:
    """An owner that wrote and went no further."""
    owner = PartitionTransactions(
        options.kafka, f"{options.group}.0", 0, options.transaction_timeout_s, Targets(options)
    )
    await owner.fence()
    producer: AIOKafkaProducer = owner._producer  # noqa: SLF001 - in mid-transaction
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"never committed", partition=0)
    return owner


async def _seen(kafka: KafkaOptions, topic: str, isolation_level: str, wanted: bytes) -> list[bytes]:
    """Values up to one that is waited for."""
    found: list[bytes] = []
    async with AIOKafkaConsumer(
        isolation_level=isolation_level, auto_offset_reset="earliest", **kafka.client_kwargs()
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(60):
            while wanted not in found:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [record.value for record in records]
    return found


@pytest.mark.parametrize("broker", ["embedded", "default"])
async def test_a_worker_that_freezes_inside_a_transaction_holds_readers_back_for_less_than_15_s(
    broker: str, kafka: EmbeddedKafka, default_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    log = KafkaOptions((kafka if broker == "embedded" else default_kafka).bootstrap_servers)
    topic = await _topic(log)
    owner = await _frozen_in_a_transaction(EngineOptions(log, topic, "in", "rows", "c", tmp_path), topic)
    began_s = time.monotonic()
    async with LogWriter(log) as writer:
        await (await writer.send(topic, b"k", b"of another", partition=0))
    assert await _seen(log, topic, "read_committed", b"of another") == [b"of another"]
    took_s = time.monotonic() - began_s
    await owner.close()
    assert 2.0 < took_s < HELD_BACK_S


async def test_a_reader_that_does_not_ask_for_committed_records_sees_what_was_never_committed(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    log = KafkaOptions(kafka.bootstrap_servers)
    topic = await _topic(log)
    options = EngineOptions(log, topic, "in", "rows", "c", tmp_path)
    zombie = await _frozen_in_a_transaction(options, topic)
    # The next owner steps the same records, and writes what follows from them.
    successor = PartitionTransactions(log, f"{topic}.0", 0, options.transaction_timeout_s, Targets(options))
    await successor.fence()
    producer: AIOKafkaProducer = successor._producer  # noqa: SLF001 - one transaction, without an input
    async with producer.transaction():
        await producer.send_and_wait(topic, b"committed", partition=0)
    assert await _seen(log, topic, "read_uncommitted", b"committed") == [b"never committed", b"committed"]
    assert await _seen(log, topic, "read_committed", b"committed") == [b"committed"]
    for owner in (zombie, successor):
        await owner.close()
