"""The embedded Kafka: transactions at once, and a log that outlives stops and crashes."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from infra.embedded import EmbeddedKafka
from infra.embedded.kafka_registration import was_cut_off

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


async def _create_topic(bootstrap_servers: str, topic: str, **config: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1, topic_configs=config)])
    finally:
        await admin.close()


async def _write(bootstrap_servers: str, topic: str, value: bytes) -> None:
    async with (
        AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            transactional_id=f"{topic}-writer",
            max_request_size=6 * 1024 * 1024,
        ) as producer,
        producer.transaction(),
    ):
        await producer.send_and_wait(topic, value)


async def _read(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, isolation_level="read_committed")
    async with consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        value: bytes | None = (await asyncio.wait_for(consumer.getone(), 20)).value
        return value


async def test_transactions_work_as_soon_as_kafka_is_entered(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path, 0) as server:
        await _create_topic(server.bootstrap_servers, "ready")
        await _write(server.bootstrap_servers, "ready", b"hello")
        assert await _read(server.bootstrap_servers, "ready") == b"hello"


async def test_second_start_finds_the_log_and_the_cluster_id_of_the_first(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path, 0) as server:
        await _create_topic(server.bootstrap_servers, "kept")
        await _write(server.bootstrap_servers, "kept", b"kept")
        cluster_id = (tmp_path / "kafka" / "cluster.id").read_text("utf-8")
    async with EmbeddedKafka(tmp_path, 0) as server:
        assert await _read(server.bootstrap_servers, "kept") == b"kept"
    assert (tmp_path / "kafka" / "cluster.id").read_text("utf-8") == cluster_id
    assert f"cluster.id={cluster_id}" in (tmp_path / "kafka" / "log" / "meta.properties").read_text("utf-8")


async def test_format_that_was_interrupted_is_finished_at_the_next_start(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path, 0):
        pass
    (tmp_path / "kafka" / "formatted").unlink()
    async with EmbeddedKafka(tmp_path, 0) as server:
        assert server.alive


async def test_log_survives_a_killed_broker(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path, 0) as server:
        await _create_topic(server.bootstrap_servers, "crash")
        await _write(server.bootstrap_servers, "crash", b"kept")
        os.kill(server.pid, signal.SIGKILL)
        await server.ended()
    async with EmbeddedKafka(tmp_path, 0) as server:
        assert await _read(server.bootstrap_servers, "crash") == b"kept"


async def test_a_clean_stop_leaves_no_registration_to_end(tmp_path: Path) -> None:
    log_dir = tmp_path / "kafka" / "log"
    async with EmbeddedKafka(tmp_path, 0) as server:
        assert was_cut_off(log_dir)
    assert not was_cut_off(log_dir)
    async with EmbeddedKafka(tmp_path, 0) as server:
        os.kill(server.pid, signal.SIGKILL)
        await server.ended()
    assert was_cut_off(log_dir)


async def test_record_of_four_mebibytes_fits_where_the_topic_allows_it(kafka: EmbeddedKafka) -> None:
    limit = {"max.message.bytes": str(4 * 1024 * 1024 + 1024)}
    await _create_topic(kafka.bootstrap_servers, "embedded-large", **limit)
    await _write(kafka.bootstrap_servers, "embedded-large", bytes(4 * 1024 * 1024))
    assert await _read(kafka.bootstrap_servers, "embedded-large") == bytes(4 * 1024 * 1024)


@pytest.mark.system
async def test_older_version_works_the_same(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path, 0, version="3.9.2") as server:
        await _create_topic(server.bootstrap_servers, "older")
        await _write(server.bootstrap_servers, "older", b"hello")
        assert await _read(server.bootstrap_servers, "older") == b"hello"


async def test_misspelt_topic_is_not_created(kafka: EmbeddedKafka) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=1000) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.send_and_wait("no-such-topic", b"")
