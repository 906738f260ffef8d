"""The embedded Kafka, killed around commits: a transaction is everywhere or nowhere, and no reader stands still."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from support.transactions import committed_values, stable_offsets, until_nothing_hangs

from infra.embedded import EmbeddedKafka
from infra.embedded.ports import LOOPBACK

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

_TOPICS = ("crash-a", "crash-b", "crash-c")
_PARTITIONS = [TopicPartition(topic, partition) for topic in _TOPICS for partition in range(8)]
_GROUP = "crash-group"
_OFFSETS = "__consumer_offsets"
_UNDECIDED_S = 30.0
"""Longer than an undecided transaction of `_TRANSACTION_S` lives, and shorter than for ever."""
_TRANSACTION_S = 10.0
_ROUNDS_S = 35.0


async def _create_topics(bootstrap_servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=8, replication_factor=1) for topic in _TOPICS])
    finally:
        await admin.close()


@asynccontextmanager
async def _transaction_everywhere(server: EmbeddedKafka, number: int) -> AsyncIterator[AIOKafkaProducer]:
    """An open transaction with one record in every partition, and one offset of the group for each of a topic."""
    producer = AIOKafkaProducer(
        bootstrap_servers=server.bootstrap_servers,
        transactional_id="crash-writer",
        transaction_timeout_ms=int(_TRANSACTION_S * 1000),
        request_timeout_ms=5000,
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        for partition in _PARTITIONS:
            await producer.send(partition.topic, str(number).encode(), partition=partition.partition)
        offsets = {TopicPartition(_TOPICS[0], partition): number for partition in range(8)}
        await producer.send_offsets_to_transaction(offsets, _GROUP)
        await producer.flush()
        yield producer
    finally:
        await producer.stop()


async def _commit_and_kill(server: EmbeddedKafka, producer: AIOKafkaProducer, delay_s: float | None) -> bool:
    """Kill the broker `delay_s` after the commit began, None for as soon as it is acknowledged; whether it was."""
    commit = asyncio.create_task(producer.commit_transaction())
    await asyncio.wait([commit], timeout=delay_s)
    os.kill(server.pid, signal.SIGKILL)
    await server.ended()
    acknowledged = commit.done()
    commit.cancel()
    try:
        await commit
    except (asyncio.CancelledError, KafkaError):
        return False
    return acknowledged


async def _check(server: EmbeddedKafka, acknowledged: set[int], last: int) -> set[int]:
    """Wait until nothing hangs; return the transactions that are visible, which they are everywhere."""
    await until_nothing_hangs(server.bootstrap_servers, [*_TOPICS, _OFFSETS], _UNDECIDED_S)
    visible = await committed_values(server.bootstrap_servers, _PARTITIONS)
    everywhere = {int(value) for value in visible[_PARTITIONS[0]]}
    assert acknowledged <= everywhere <= set(range(last + 1))
    expected = [str(number).encode() for number in sorted(everywhere)]
    assert visible == dict.fromkeys(_PARTITIONS, expected)
    offsets = await stable_offsets(LOOPBACK, server.port, _GROUP, _UNDECIDED_S)
    assert offsets == {(_TOPICS[0], partition): max(everywhere) for partition in range(8)}
    return everywhere


async def test_transaction_across_partitions_and_a_group_is_everywhere_or_nowhere_after_a_kill(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    deadline_s = time.monotonic() + _ROUNDS_S
    async with EmbeddedKafka(tmp_path, 0) as server:
        await _create_topics(server.bootstrap_servers)
        # Internal topics are made, and everything is warm.
        async with _transaction_everywhere(server, 0) as producer:
            await producer.commit_transaction()
        async with _transaction_everywhere(server, 1) as producer:
            assert await _commit_and_kill(server, producer, None)
    acknowledged = {0, 1}
    number = 1
    while True:
        async with EmbeddedKafka(tmp_path, 0) as server:
            acknowledged |= await _check(server, acknowledged, number)
            if time.monotonic() > deadline_s:
                break
            number += 1
            delay_s = chance.choice([None, 0.0, chance.uniform(0.0, 0.02)])
            async with _transaction_everywhere(server, number) as producer:
                if await _commit_and_kill(server, producer, delay_s):
                    acknowledged.add(number)
