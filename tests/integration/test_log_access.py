"""Access to a real log: administration, writing, reading in a group, following, and blocks out of transactions."""

import asyncio
import multiprocessing
import random
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import MessageSizeTooLargeError

from schemas.errors import SetupError
from schemas.partitioning import partition_of
from streams.fetch import fetch_blocks_of
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.group import Bounds, GroupReader
from streams.log.record import LogRecord
from streams.log.writer import LogWriter

if TYPE_CHECKING:
    from streams.block import Block

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]


@pytest.fixture
def options(kafka: KafkaOptions) -> KafkaOptions:
    return KafkaOptions(kafka.bootstrap_servers)


@pytest.fixture
async def admin(options: KafkaOptions) -> AsyncIterator[LogAdmin]:
    async with LogAdmin(options) as connected:
        yield connected


@pytest.fixture
def name() -> str:
    return f"log-{random.randrange(10**9)}"


async def _write(options: KafkaOptions, topic: str, *values: bytes, partition: int | None = 0) -> None:
    async with LogWriter(options) as writer:
        await asyncio.gather(*[await writer.send(topic, b"k", value, partition=partition) for value in values])


async def _read(reader: GroupReader | Follower, count: int, timeout_s: float = 30) -> list[LogRecord]:
    found: list[LogRecord] = []
    async with asyncio.timeout(timeout_s):
        while len(found) < count:
            found += await reader.read(timeout_s=0.2)
    return found


async def _transaction(options: KafkaOptions, topic: str, *values: bytes, commit: bool) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=options.bootstrap_servers, transactional_id=f"{topic}-tx"
    ) as producer:
        await producer.begin_transaction()
        for value in values:
            await (await producer.send(topic, value, partition=0))
        await (producer.commit_transaction() if commit else producer.abort_transaction())


# -- administration ---------------------------------------------------------------------------------------------------


async def test_topics_are_made_once_and_another_number_of_partitions_is_refused_with_a_remedy(
    admin: LogAdmin, name: str
) -> None:
    assert await admin.partitions_of(name) is None
    await admin.ensure_topics([name], partitions=3)
    await admin.ensure_topics([name], partitions=3)
    assert await admin.partitions_of(name) == 3
    assert name in await admin.topics()
    with pytest.raises(SetupError, match=rf"{name} has 3 partitions.*set kafka.partitions to 3"):
        await admin.ensure_topics([name], partitions=4)


async def test_a_topic_that_is_made_anew_has_another_id(admin: LogAdmin, options: KafkaOptions, name: str) -> None:
    await admin.ensure_topics([name], partitions=1)
    before = await admin.topic_ids([name, f"{name}-none"])
    assert before.keys() == {name}
    assert before == await admin.topic_ids([name])
    raw = AIOKafkaAdminClient(bootstrap_servers=options.bootstrap_servers)
    await raw.start()
    await raw.delete_topics([name])
    await raw.close()
    async with asyncio.timeout(20):
        while await admin.partitions_of(name) is not None:  # noqa: ASYNC110 - Kafka has no event for it
            await asyncio.sleep(0.1)
    await admin.ensure_topics([name], partitions=1)
    after = await admin.topic_ids([name])
    assert after[name] != before[name]


async def test_end_offsets_count_what_was_written_and_leave_out_topics_that_are_not_there(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=2)
    await _write(options, name, b"1", b"2", partition=1)
    assert await admin.end_offsets([name, f"{name}-none"]) == {(name, 0): 0, (name, 1): 2}
    assert await admin.end_offsets([]) == {}
    assert await admin.cluster_id() == await admin.cluster_id() != ""


# -- writing ----------------------------------------------------------------------------------------------------------


async def test_a_key_goes_to_the_partition_that_java_clients_choose_and_everything_arrives_as_sent(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=8)
    headers = (("ts-kind", b"request"), ("empty", b""))
    keys = [f"twin-{number}".encode() for number in range(40)]
    async with LogWriter(options) as writer:
        places = await asyncio.gather(*[await writer.send(name, key, key[::-1], headers=headers) for key in keys])
    assert [partition for partition, _ in places] == [partition_of(key, 8) for key in keys]
    async with Follower(options, topics=[name]) as follower:
        found = await _read(follower, len(keys))
    assert {(item.partition, item.offset): (item.key, item.value, item.headers) for item in found} == {
        place: (key, key[::-1], headers) for place, key in zip(places, keys, strict=True)
    }
    assert found[0].header("ts-kind") == b"request"
    assert found[0].header("nothing") == b""


async def test_a_record_that_is_too_large_is_refused_and_the_next_one_is_written(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=1)
    async with LogWriter(options) as writer:
        with pytest.raises(MessageSizeTooLargeError):
            await writer.send(name, b"k", bytes(5 << 20))
        assert await (await writer.send(name, b"k", b"fine")) == (0, 0)


# -- a consumer group -------------------------------------------------------------------------------------------------


async def test_what_was_read_and_not_committed_comes_again(admin: LogAdmin, options: KafkaOptions, name: str) -> None:
    await admin.ensure_topics([name], partitions=1)
    await _write(options, name, b"1", b"2", b"3", b"4")
    async with GroupReader(options, group=name, topics=[name]) as reader:
        async with asyncio.timeout(30):
            while not (first := await reader.read(max_records=2)):
                pass
        await reader.commit()
        assert [item.value for item in first] == [b"1", b"2"]
        assert reader.assignment() == {(name, 0)}
        assert [item.value for item in await _read(reader, 2)] == [b"3", b"4"]
    assert await admin.committed(name, [name]) == {(name, 0): 2}
    async with GroupReader(options, group=name, topics=[name]) as reader:
        assert [item.value for item in await _read(reader, 2)] == [b"3", b"4"]
        assert reader.lag() == 0
        await reader.seek({(name, 0): 1})
        assert [item.value for item in await _read(reader, 3)] == [b"2", b"3", b"4"]
        await reader.commit()
    assert await admin.committed(name, [name]) == {(name, 0): 4}


async def test_lag_is_what_was_not_read_yet(admin: LogAdmin, options: KafkaOptions, name: str) -> None:
    await admin.ensure_topics([name], partitions=1)
    await _write(options, name, *[b"x"] * 10)
    async with GroupReader(options, group=name, topics=[name]) as reader:
        async with asyncio.timeout(30):
            while not (read := await reader.read(max_records=4)):
                pass
        assert reader.lag() == 10 - len(read)


async def test_a_topic_that_comes_into_being_and_matches_is_read_from_its_beginning(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([f"{name}.a"], partitions=1)
    pattern = rf"^{name}\.[a-z]$"
    async with (
        GroupReader(options, group=name, pattern=pattern) as reader,
        Follower(options, pattern=pattern, start="latest") as follower,
    ):
        await _write(options, f"{name}.a", b"1")
        assert [item.value for item in await _read(reader, 1)] == [b"1"]
        await reader.commit()
        assert [item.value for item in await _read(follower, 1)] == [b"1"]
        await admin.ensure_topics([f"{name}.b", f"{name}.not"], partitions=1)
        await _write(options, f"{name}.b", b"2")
        await _write(options, f"{name}.not", b"3")
        assert [(item.topic, item.value) for item in await _read(reader, 1)] == [(f"{name}.b", b"2")]
        assert [(item.topic, item.value) for item in await _read(follower, 1)] == [(f"{name}.b", b"2")]
        assert await reader.read(timeout_s=0.5) == []


async def test_a_second_member_gets_what_the_first_did_not_commit(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=2)
    for partition in range(2):
        await _write(options, name, b"%d" % partition, partition=partition)
    async with GroupReader(options, group=name, topics=[name]) as first:
        assert len(await _read(first, 2)) == 2

        async def second_reads() -> list[LogRecord]:
            async with GroupReader(options, group=name, topics=[name]) as second:
                return await _read(second, 1)

        task = asyncio.create_task(second_reads())
        async with asyncio.timeout(30):
            while not task.done():
                await first.read(timeout_s=0.1)
        assert {item.value for item in task.result()} <= {b"0", b"1"}


def _read_and_wait(servers: str, name: str, group_member: str) -> None:
    """A member in a process of its own, which says that it has its partitions by committing."""

    async def forever() -> None:
        async with GroupReader(KafkaOptions(servers), group=name, topics=[name], member=group_member) as reader:
            while True:
                if await reader.read(timeout_s=0.1):
                    await reader.commit()

    asyncio.run(forever())


async def test_who_comes_back_under_the_name_of_a_killed_member_reads_on_at_once(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=2)
    await _write(options, name, b"1")
    process = multiprocessing.get_context("spawn").Process(
        target=_read_and_wait, args=(options.bootstrap_servers, name, "a"), daemon=True
    )
    process.start()
    try:
        async with asyncio.timeout(30):
            while not await admin.committed(name, [name]):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
    finally:
        process.kill()
        process.join()
    await _write(options, name, b"2")
    began_s = time.monotonic()
    async with GroupReader(options, group=name, topics=[name], member="a") as reader:
        assert [item.value for item in await _read(reader, 1)] == [b"2"]
        # The session of the killed one lasts 10 s.
        assert time.monotonic() - began_s < 4


@pytest.mark.slow
async def test_members_of_different_names_share_the_partitions_and_a_clean_end_hands_them_over_at_once(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=2)
    async with GroupReader(options, group=name, topics=[name], member="a") as first:
        async with GroupReader(options, group=name, topics=[name], member="b") as second, asyncio.timeout(30):
            while not (len(first.assignment()) == len(second.assignment()) == 1):
                await asyncio.gather(first.read(timeout_s=0.1), second.read(timeout_s=0.1))
            await asyncio.gather(first.read(timeout_s=2), second.read(timeout_s=2))
            assert len(first.assignment()) == len(second.assignment()) == 1
        began_s = time.monotonic()
        async with asyncio.timeout(30):
            while len(first.assignment()) < 2:
                await first.read(timeout_s=0.1)
        assert time.monotonic() - began_s < 5


# -- following --------------------------------------------------------------------------------------------------------


async def test_a_follower_starts_where_it_is_told_and_knows_when_it_has_caught_up(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=2)
    await _write(options, name, b"1", b"2")
    async with (
        Follower(options, topics=[name]) as whole,
        Follower(options, topics=[name], start="latest") as latest,
    ):
        assert not await whole.caught_up()
        assert await latest.caught_up()
        assert [item.value for item in await _read(whole, 2)] == [b"1", b"2"]
        assert await whole.caught_up()
        await _write(options, name, b"3")
        assert [item.value for item in await _read(whole, 1)] == [b"3"]
        assert [item.value for item in await _read(latest, 1)] == [b"3"]
        assert whole.positions[name, 0] == latest.positions[name, 0] == 3


async def test_a_follower_of_nothing_that_exists_has_caught_up_and_waits(options: KafkaOptions, name: str) -> None:
    async with Follower(options, topics=[name]) as follower:
        assert await follower.caught_up()
        assert await follower.read(timeout_s=0.1) == []


async def test_readers_see_committed_transactions_only_and_catch_up_behind_a_marker(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=1)
    await _transaction(options, name, b"no", commit=False)
    await _transaction(options, name, b"yes", commit=True)
    await _transaction(options, name, b"never", commit=False)
    async with Follower(options, topics=[name]) as follower, asyncio.timeout(30):
        found = []
        while not await follower.caught_up():
            found += await follower.read(timeout_s=0.1)
        assert [item.value for item in found] == [b"yes"]
    async with GroupReader(options, group=name, topics=[name]) as reader:
        assert [item.value for item in await _read(reader, 1)] == [b"yes"]


# -- blocks -----------------------------------------------------------------------------------------------------------


async def test_blocks_pass_over_aborted_and_control_batches_and_cover_every_offset(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=1)
    expected: list[bytes] = []
    for number in range(6):
        values = [b"%d-%d" % (number, item) for item in range(number + 1)]
        if number % 3 == 2:
            await _write(options, name, *values)
        else:
            await _transaction(options, name, *values, commit=number % 3 == 1)
        expected += values if number % 3 else []
    await _write(options, name, b"end")
    fetch_blocks_of([name])
    blocks: list[Block] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=options.bootstrap_servers, isolation_level="read_committed")
    async with consumer, asyncio.timeout(30):
        target = TopicPartition(name, 0)
        consumer.assign([target])
        await consumer.seek_to_beginning(target)
        while not blocks or blocks[-1].value(-1) != b"end":
            blocks += (await consumer.getmany(timeout_ms=200)).get(target, [])
        # A seek into the middle of a batch brings the rest of it only.
        middle = next(block for block in blocks if len(block) > 1)
        consumer.seek(target, middle.offset(1))
        again: list[Block] = (await consumer.getmany(timeout_ms=5000))[target]
    assert [value for block in blocks for _, value in block.pairs()] == [*expected, b"end"]
    assert blocks[0].start == 0
    assert all(block.start <= block.offset(0) and block.end > block.offset(-1) for block in blocks if len(block))
    assert again[0].offsets[: len(middle) - 1].tolist() == middle.offsets[1:].tolist()
    assert again[0].start == middle.offset(1)


async def test_a_consumer_that_reads_uncommitted_gets_blocks_of_aborted_transactions_too(
    admin: LogAdmin, options: KafkaOptions, name: str
) -> None:
    await admin.ensure_topics([name], partitions=1)
    await _transaction(options, name, b"no", commit=False)
    await _transaction(options, name, b"yes", commit=True)
    fetch_blocks_of([name])
    values: list[bytes | None] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=options.bootstrap_servers)
    async with consumer, asyncio.timeout(30):
        target = TopicPartition(name, 0)
        consumer.assign([target])
        await consumer.seek_to_beginning(target)
        while len(values) < 2:
            for block in (await consumer.getmany(timeout_ms=200)).get(target, []):
                values += [value for _, value in block.pairs()]
    assert values == [b"no", b"yes"]


async def test_bounds_are_what_the_broker_has_also_while_nobody_reads(
    options: KafkaOptions, admin: LogAdmin, name: str
) -> None:
    await admin.ensure_topics([name], partitions=1)
    await _write(options, name, *(b"%d" % number for number in range(5)))
    async with GroupReader(options, group=name, topics=[name]) as reader:
        assert await reader.bounds() == {(name, 0): Bounds(0, None, 5)}
        await reader.pass_over({(name, 0): 0})
        assert await reader.bounds() == {(name, 0): Bounds(0, 0, 5)}
        await _read(reader, 5)
        await reader.commit()
        await reader.pass_over({(name, 0): 3})
        assert await reader.bounds() == {(name, 0): Bounds(0, 5, 5)}
        await _write(options, name, *(b"%d" % number for number in range(5, 12)))
        raw = AIOKafkaAdminClient(bootstrap_servers=options.bootstrap_servers)
        await raw.start()
        try:
            await raw.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=8)})
        finally:
            await raw.close()
        assert await reader.bounds() == {(name, 0): Bounds(8, 5, 12)}
