"""What transactions left in a log: how far committed readers get, what they see, and a group's stable offsets."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.conn import create_conn
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)


async def until_nothing_hangs(bootstrap_servers: str, topics: Iterable[str], timeout_s: float) -> None:
    """Wait until committed readers get to the end of every partition; fail with those where they do not."""
    names = sorted(topics)

    async def ends(isolation_level: str) -> dict[TopicPartition, int]:
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, isolation_level=isolation_level) as consumer:
            await consumer._client.set_topics(names)  # noqa: SLF001 - no public way to ask without reading
            found = [TopicPartition(name, p) for name in names for p in consumer.partitions_for_topic(name) or ()]
            assert {partition.topic for partition in found} == set(names)
            offsets: dict[TopicPartition, int] = await consumer.end_offsets(found)
            return offsets

    async def hanging() -> str:
        written, stable = await ends("read_uncommitted"), await ends("read_committed")
        return ", ".join(
            f"{partition.topic}-{partition.partition}: {stable[partition]} of {end}"
            for partition, end in written.items()
            if stable[partition] < end
        )

    await _until_empty(hanging, timeout_s)


async def committed_values(
    bootstrap_servers: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, list[bytes]]:
    """The values that committed readers see in each of these partitions."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, isolation_level="read_committed") as consumer:
        values: dict[TopicPartition, list[bytes]] = {partition: [] for partition in partitions}
        consumer.assign(list(values))
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(list(values))
        async with asyncio.timeout(20):
            for partition, end in ends.items():
                while await consumer.position(partition) < end:
                    for read, records in (await consumer.getmany(timeout_ms=100)).items():
                        values[read] += [record.value for record in records]
        return values


async def stable_offsets(host: str, port: int, group: str, timeout_s: float) -> dict[tuple[str, int], int]:
    """Offsets that a group committed, as a reader asks for them that wants no undecided ones."""
    connection = await create_conn(host, port)
    try:
        found: dict[tuple[str, int], int] = {}

        async def unstable() -> str:
            response = await connection.send(_OffsetsRequest(group))
            assert response.error_code == 0
            found.clear()
            refused = []
            for topic, partitions, _ in response.topics:
                for partition, offset, _, _, error_code, _ in partitions:
                    found[topic, partition] = offset
                    if error_code:
                        refused.append(f"{topic}-{partition}: error {error_code}")
            return ", ".join(refused)

        await _until_empty(unstable, timeout_s)
        return found
    finally:
        connection.close()


async def _until_empty(ask: Callable[[], Awaitable[str]], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while found := await ask():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {found}"
        await asyncio.sleep(0.1)


class _OffsetsResponseV7(Response):
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _OffsetsRequestV7(RequestStruct):
    API_KEY = 9
    API_VERSION = 7
    RESPONSE_TYPE = _OffsetsResponseV7
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("group", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _OffsetsRequest(Request[_OffsetsRequestV7]):
    """Every stable offset of a group."""

    API_KEY = 9

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_OffsetsRequestV7]) -> _OffsetsRequestV7:
        return request_struct_class(self._group, None, True, {})  # noqa: FBT003 - positional by the wire format
