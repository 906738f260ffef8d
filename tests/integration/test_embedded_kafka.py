"""The embedded Kafka: ready when it says so, gone when its owner is, the log still there afterwards."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.embedded.kafka import EmbeddedKafka
from schemas.errors import SetupError

pytestmark = pytest.mark.kafka

_ROOT = Path(__file__).parents[2]


async def _create_topic(bootstrap_servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def _write(bootstrap_servers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, transactional_id=f"{topic}-writer", acks="all"
    ) as producer:
        for attempt in range(50):
            try:
                async with producer.transaction():
                    await producer.send_and_wait(topic, value)
            except OSError:
                if attempt == 49:
                    raise
                await asyncio.sleep(0.1)
            else:
                return


async def _read(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, isolation_level="read_committed")
    async with consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        value: bytes | None = (await asyncio.wait_for(consumer.getone(), 20)).value
        return value


def _gone(pid: int, within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


async def test_transactions_work_as_soon_as_kafka_is_entered(kafka: EmbeddedKafka) -> None:
    await _create_topic(kafka.bootstrap_servers, "embedded-ready")
    await _write(kafka.bootstrap_servers, "embedded-ready", b"hello")
    assert await _read(kafka.bootstrap_servers, "embedded-ready") == b"hello"


async def test_second_start_finds_the_log_and_the_cluster_id_of_the_first(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path, 0) as server:
        await _create_topic(server.bootstrap_servers, "kept")
        await _write(server.bootstrap_servers, "kept", b"kept")
        cluster_id = (tmp_path / "kafka" / "cluster.id").read_text("utf-8")
        pid = server.pid
    assert _gone(pid, 1)
    async with EmbeddedKafka(tmp_path, 0) as server:
        assert await _read(server.bootstrap_servers, "kept") == b"kept"
    assert (tmp_path / "kafka" / "cluster.id").read_text("utf-8") == cluster_id
    assert f"cluster.id={cluster_id}" in (tmp_path / "kafka" / "log" / "meta.properties").read_text("utf-8")


async def test_crash_is_noticed_and_the_log_survives_it(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path, 0) as server:
        await _create_topic(server.bootstrap_servers, "crash")
        await _write(server.bootstrap_servers, "crash", b"kept")
        os.kill(server.pid, signal.SIGKILL)
        assert await asyncio.wait_for(server.ended(), 5) == -signal.SIGKILL
        assert not server.alive
    async with EmbeddedKafka(tmp_path, 0) as server:
        assert await _read(server.bootstrap_servers, "crash") == b"kept"


async def test_taken_port_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SetupError, match=rf"port {port} for Kafka is taken.*--kafka-port") as caught:
            async with EmbeddedKafka(tmp_path, port):
                pass
    assert "\n" not in str(caught.value)


def test_killed_owner_leaves_no_orphan(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from infra.embedded.kafka import EmbeddedKafka

        async def main():
            async with EmbeddedKafka(Path(sys.argv[1]), 0) as server:
                print(server.pid, flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=_ROOT, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        server = int(owner.stdout.readline())
        family = psutil.Process(server).children()
        owner.kill()
    assert _gone(server, 15)
    assert all(_gone(child.pid, 5) for child in family)
