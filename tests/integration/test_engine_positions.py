"""Taking a partition over on a real Kafka: where it goes on, and whether rows that were kept still hold."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from support.topics import make_anew

from streams.block import Block
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter
from streams.opening import Opener
from streams.options import EngineOptions
from streams.partition import PartitionRows
from streams.processor import Lineage, Outcome, SilentObserver
from streams.transaction import PartitionTransactions, Place
from streams.warm import WarmRows

if TYPE_CHECKING:
    from streams.packing import PackedBatch

pytestmark = pytest.mark.kafka


class _Counter:
    """Counts the records of each key."""

    tick_s = 0.0
    may_wait = False
    size_bytes = 0

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}

    def restore(self, rows: Block) -> None:
        self.rows |= {key or b"": value for key, value in rows.pairs()}

    def restored(self) -> Outcome:
        return Outcome()

    def prepare(self) -> None:
        """Nothing is needed."""

    def process(self, block: Block) -> Outcome:
        self.rows[b"count"] = b"%d" % (int(self.rows.get(b"count") or 0) + len(block))
        return Outcome()

    def refuse(self, record: Block, detail: str) -> Outcome:
        raise NotImplementedError(detail, record)

    def snapshot(self) -> list[tuple[bytes, bytes | None]]:
        return list(self.rows.items())

    def suspect(self, held: Mapping[int, str]) -> None:
        """Nothing is held back."""

    def insists(self, record: Block) -> bool:
        return len(record) != 1

    def note(self) -> Mapping[str, str]:
        return {}


class _Failures(SilentObserver):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def failed(self, partition: int, kind: str) -> None:
        assert partition == 0
        self.kinds.append(kind)


class _Counters:
    """Makes counters of partition 0."""

    async def make(self, lineage: Lineage, _note: Mapping[str, str]) -> _Counter:
        assert lineage.partition == 0
        return _Counter()

    async def provide(self, wanted: str) -> None:
        raise AssertionError(wanted)


class _World:
    """An input of five records, of which a first owner stepped all."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.failures = _Failures()

    async def open(
        self, kept: PartitionRows | None = None, **changes: Any
    ) -> tuple[PartitionRows, PartitionTransactions]:
        async def in_thread(_: int, work: Callable[[], Any]) -> Any:
            return await asyncio.to_thread(work)

        opener = Opener(replace(self.options, **changes), _Counters(), self.failures, in_thread)
        return await opener.open(0, None if kept is None else WarmRows.of(kept))

    async def commit(self, rows: PartitionRows, transactions: PartitionTransactions) -> None:
        snapshot = rows.snapshot(0.0)
        batches: dict[Place, list[PackedBatch]] = {self.options.changelog: transactions.batches(snapshot.rows)}
        source = TopicPartition(self.options.source, 0)
        last = await transactions.commit(
            batches, self.options.changelog, {source: snapshot.position}, self.options.group
        )
        rows.flushed, rows.changelog_end = snapshot.position, last + 2


def _block(first: int, end: int) -> Block:
    return Block.of_records(0, [(offset, 0, b"k", b"v", ()) for offset in range(first, end)])


@pytest.fixture
async def world(kafka: KafkaOptions, tmp_path: Path) -> _World:
    name = f"positions-{random.randrange(10**9)}"
    options = KafkaOptions(kafka.bootstrap_servers)
    topics = (f"{name}.telemetry", f"{name}.state")
    async with LogAdmin(options) as admin:
        await admin.ensure_topics(topics, partitions=1)
    async with LogWriter(options) as writer:
        for future in [await writer.send(topics[0], b"k", b"v", partition=0) for _ in range(5)]:
            await future
    made = _World(EngineOptions(options, name, *topics, "cluster", tmp_path, partitions=1))
    rows, transactions = await made.open()
    assert rows.position == 0
    rows.process(_block(0, 5), 0.0)
    await made.commit(rows, transactions)
    await transactions.close()
    return made


async def test_the_next_owner_goes_on_where_the_last_commit_ended(world: _World) -> None:
    rows, transactions = await world.open()
    await transactions.close()
    assert (rows.position, rows.processor.snapshot()) == (5, [(b"count", b"5")])
    assert world.failures.kinds == []


async def _make_anew(world: _World) -> None:
    source, kafka = world.options.source, world.options.kafka
    await make_anew(kafka, source, 1)
    async with LogWriter(kafka) as writer:
        for future in [await writer.send(source, b"k", b"v", partition=0) for _ in range(2)]:
            await future


@pytest.mark.parametrize("other", ["topic", "cluster"])
async def test_an_input_that_was_made_anew_is_read_from_its_beginning_on_top_of_the_rows(
    world: _World, other: str
) -> None:
    changes: dict[str, Any] = {"cluster": "other"} if other == "cluster" else {}
    if other == "topic":
        await _make_anew(world)
    rows, transactions = await world.open(**changes)
    assert (rows.position, rows.processor.snapshot()) == (0, [(b"count", b"5")])
    assert world.failures.kinds == ["input_replaced"]
    rows.process(_block(0, 2), 0.0)
    await world.commit(rows, transactions)
    await transactions.close()
    rows, transactions = await world.open(**changes)
    await transactions.close()
    assert (rows.position, rows.processor.snapshot()) == (2, [(b"count", b"7")])
    assert world.failures.kinds == ["input_replaced"]


async def test_kept_rows_of_an_input_that_was_made_anew_are_not_used(world: _World) -> None:
    first, transactions = await world.open()
    await world.commit(first, transactions)
    await transactions.close()
    await _make_anew(world)
    anew, transactions = await world.open(first)
    await transactions.close()
    assert anew is not first
    assert (anew.position, anew.lineage == first.lineage) == (0, False)


async def test_an_input_that_ends_before_the_position_is_read_from_its_end(world: _World) -> None:
    rows, transactions = await world.open()
    rows.process(_block(5, 9), 0.0)
    await world.commit(rows, transactions)
    await transactions.close()
    rows, transactions = await world.open()
    await transactions.close()
    assert (rows.position, rows.flushed) == (5, 5)
    assert world.failures.kinds == ["input_truncated"]


async def test_kept_rows_are_used_again_and_brought_up_when_somebody_else_went_on(world: _World) -> None:
    first, transactions = await world.open()
    await world.commit(first, transactions)
    await transactions.close()
    again, transactions = await world.open(first)
    assert again.processor is first.processor
    await transactions.close()
    other, transactions = await world.open()
    other.process(_block(5, 7), 0.0)
    await world.commit(other, transactions)
    await transactions.close()
    brought_up, transactions = await world.open(first)
    await transactions.close()
    assert brought_up.processor is first.processor
    assert brought_up.processor.snapshot() == [(b"count", b"7")]


async def test_kept_rows_with_anything_that_the_log_lacks_are_not_used(world: _World) -> None:
    first, transactions = await world.open()
    await world.commit(first, transactions)
    await transactions.close()
    first.process(_block(5, 6), 0.0)
    anew, transactions = await world.open(first)
    await transactions.close()
    assert anew is not first
    assert anew.processor.snapshot() == [(b"count", b"5")]
