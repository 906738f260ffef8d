"""A bridge that starts for the first time beside a log that is days old, and again after that."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from support.brokers import MqttUnderTest, until

from connectors.bridge_out import group_of
from infra.embedded import EmbeddedKafka
from infra.registry import Registry
from schemas.clock import NS_PER_S, SystemClock
from schemas.messages import Cause, Command, encode
from schemas.topics import DEFINITIONS, TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.beginning import begin_at
from streams.log.client import KafkaOptions
from streams.log.group import GroupReader
from streams.log.writer import LogWriter

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]


def command(topics: TypeTopics, name: str, left_s: int) -> bytes:
    now_ns = SystemClock().now_ns()
    cause = Cause(partition=0, offset=0, definition="d", parameters=0)
    return encode(
        Command(
            id=uuid.uuid4().hex, type=topics.type, twin="t-1", name=name, value=True, issued_ns=1,
            expires_ns=now_ns + left_s * NS_PER_S, cause=cause,
        )
    )  # fmt: skip


async def make(options: KafkaOptions) -> TypeTopics:
    topics = TypeTopics(f"t{uuid.uuid4().hex[:12]}")
    async with LogAdmin(options) as admin:
        await admin.ensure_topics((*SHARED_TOPICS, *topics.all()), partitions=8)
    return topics


async def write(options: KafkaOptions, *messages: tuple[str, bytes]) -> None:
    async with LogWriter(options) as writer:
        for topic, value in messages:
            await (await writer.send(topic, b"t-1", value))


async def settled(options: KafkaOptions, topics: TypeTopics, commands: int) -> None:
    """Wait until the group is done with that many commands."""
    async with LogAdmin(options) as admin, asyncio.timeout(20):
        while sum((await admin.committed(group_of("mqtt"), [topics.commands])).values()) < commands:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def events(options: KafkaOptions, topics: TypeTopics) -> int:
    async with LogAdmin(options) as admin:
        return sum((await admin.end_offsets([topics.events])).values())


@contextmanager
def bridge(data_dir: Path, options: KafkaOptions, url: str) -> Iterator[None]:
    with (data_dir / "bridge.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra", "bridge", "mqtt", "--data-dir", str(data_dir)],
            cwd=ROOT,
            env={
                **os.environ,
                "TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": options.bootstrap_servers,
                "TWINSTREAM_MQTT__URL": url,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)


def ready(data_dir: Path) -> bool:
    found = Registry(data_dir).find("bridge:mqtt")
    return found is not None and found.ready


@pytest.mark.slow
async def test_a_bridge_without_a_past_sends_what_is_written_from_its_start_on_and_later_goes_on_where_it_was(
    own_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    options, mqtt = KafkaOptions(own_kafka.bootstrap_servers), MqttUnderTest(tmp_path, "mosquitto", "5")
    topics = await make(options)
    await mqtt.start()
    try:
        # One that another bridge delivered long ago, and one that could still be sent.
        await write(options, (topics.commands, command(topics, "a", -60)), (topics.commands, command(topics, "b", 600)))
        async with mqtt.listen() as seen:
            with bridge(tmp_path, options, mqtt.url):
                await until(lambda: ready(tmp_path), 60)
                await write(options, (topics.commands, command(topics, "c", 60)))
                await settled(options, topics, 3)
            later = await make(options)
            await write(options, (topics.commands, command(topics, "d", 60)), (later.commands, command(later, "e", 60)))
            with bridge(tmp_path, options, mqtt.url):
                await until(lambda: len(seen) >= 3)
                await settled(options, topics, 4)
        names = sorted(address.rpartition("/")[2] for address, _ in seen)
        assert names == ["c", "d", "e"]
        assert await events(options, topics) == 2  # about c and d: none about what is not its business
        log = (tmp_path / "logs" / "bridge-mqtt.log").read_bytes()
        said = [msgspec.json.decode(line)["event"] for line in log.splitlines()]
        assert sum(line.startswith("first start:") for line in said) == 1
    finally:
        await mqtt.close()


async def test_a_group_begins_once_even_while_no_topic_of_its_is_there(kafka: EmbeddedKafka) -> None:
    options, name = KafkaOptions(kafka.bootstrap_servers), uuid.uuid4().hex[:12]
    group, pattern = f"{group_of('mqtt')}-{name}", rf"^twinstream\.t{name}\.(commands|events)$"

    async def begins() -> bool:
        now_ms = SystemClock().now_ns() // 1_000_000
        return await begin_at(options, group=group, pattern=pattern, mark=DEFINITIONS, time_ms=now_ms)

    assert await begins()
    topics = TypeTopics(f"t{name}")
    async with LogAdmin(options) as admin:
        await admin.ensure_topics([topics.commands])
    await write(options, (topics.commands, b"first"))
    # As after a crash before anything was committed.
    assert not await begins()
    async with GroupReader(options, group=group, pattern=pattern) as reader, asyncio.timeout(20):
        while not (records := await reader.read()):
            pass
        assert [record.value for record in records] == [b"first"]


async def test_a_group_with_a_member_is_left_alone_though_it_committed_nothing(kafka: EmbeddedKafka) -> None:
    options, topics = KafkaOptions(kafka.bootstrap_servers), TypeTopics(f"t{uuid.uuid4().hex[:12]}")
    async with LogAdmin(options) as admin:
        await admin.ensure_topics([topics.commands])
    pattern = rf"^twinstream\.{topics.type}\.(commands|events)$"
    async with GroupReader(options, group=topics.type, pattern=pattern) as reader, asyncio.timeout(20):
        while not reader.assignment():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert not await begin_at(options, group=topics.type, pattern=pattern, mark=DEFINITIONS, time_ms=0)
    async with LogAdmin(options) as admin:
        assert await admin.committed(topics.type, [topics.commands, DEFINITIONS]) == {}
