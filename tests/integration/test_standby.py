"""Restoring and keeping warm on a real Kafka: whatever became of the changelog, rows are what it says."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from servers.background import BackgroundLoop
from support.topics import make_anew

from infra.embedded import EmbeddedKafka
from streams.block import Block
from streams.changelog import POSITION_KEY, ChangelogReader
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.opening import Opener
from streams.options import EngineOptions
from streams.partition import PartitionRows
from streams.processor import Lineage, Outcome, SilentObserver
from streams.standby import Standby
from streams.transaction import PartitionTransactions, Place
from streams.warm import WarmRows

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]


class _Rows:
    """Keeps what the changelog says, and counts how often it was told so."""

    tick_s = 0.0
    may_wait = False
    size_bytes = 7

    def __init__(self, version: str) -> None:
        self.version = version
        self.rows: dict[bytes, bytes] = {}
        self.changed: dict[bytes, bytes | None] = {}
        self.taken_in = 0

    def restore(self, rows: Block) -> None:
        for key, value in rows.pairs():
            assert key is not None
            assert key != POSITION_KEY
            self.taken_in += 1
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value

    def restored(self) -> Outcome:
        return Outcome()

    def process(self, block: Block) -> Outcome:
        raise NotImplementedError(block)

    def refuse(self, record: Block, detail: str) -> Outcome:
        raise NotImplementedError(record, detail)

    def insists(self, record: Block) -> bool:
        raise NotImplementedError(record)

    def snapshot(self) -> list[tuple[bytes, bytes | None]]:
        changed, self.changed = self.changed, {}
        return list(changed.items())

    def note(self) -> Mapping[str, str]:
        return {"version": self.version}


class _Versions:
    """Makes rows of the version that is noted."""

    def __init__(self) -> None:
        self.made: list[_Rows] = []

    async def make(self, _lineage: Lineage, note: Mapping[str, str]) -> _Rows:
        self.made.append(_Rows(note.get("version", "one")))
        return self.made[-1]

    async def provide(self, wanted: str) -> None:
        raise AssertionError(wanted)


class _World:
    """A partition with an owner, and whoever comes after it."""

    def __init__(self, options: EngineOptions, thread: ThreadPoolExecutor) -> None:
        self.options = options
        self.versions = _Versions()
        self.calls = 0
        self._thread = thread
        self.standby = self._standby()

    def _standby(self) -> Standby:
        def ready() -> None:
            self.calls += 1

        return Standby(self.options, self.versions, SilentObserver(), self.in_thread, ready)

    async def in_thread(self, _partition: int, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def open(self, warm: WarmRows | None = None) -> tuple[PartitionRows, PartitionTransactions]:
        return await Opener(self.options, self.versions, SilentObserver(), self.in_thread).open(0, warm)

    async def rows(self, warm: WarmRows | None = None) -> dict[bytes, bytes]:
        """What the next owner has."""
        opened, transactions = await self.open(warm)
        await transactions.close()
        found: Any = opened.processor
        return dict(found.rows)

    async def write(self, **rows: str | None) -> None:
        """A flush by an owner."""
        opened, transactions = await self.open()
        await self.flush(opened, transactions, **rows)
        await transactions.close()

    async def flush(self, opened: PartitionRows, transactions: PartitionTransactions, **rows: str | None) -> None:
        processor: Any = opened.processor
        changed = {key.encode(): None if value is None else value.encode() for key, value in rows.items()}
        processor.changed = changed
        for key, value in changed.items():
            processor.rows.pop(key, None)
            if value is not None:
                processor.rows[key] = value
        snapshot = opened.snapshot(0.0)
        batches: dict[Place, list[Any]] = {self.options.changelog: transactions.batches(snapshot.rows)}
        source = TopicPartition(self.options.source, 0)
        last = await transactions.commit(batches, self.options.changelog, source, 0, self.options.group)
        opened.changelog_end = last + 2

    async def end(self) -> int:
        async with ChangelogReader(self.options.kafka, self.options.changelog) as changelog:
            return await changelog.end(0)

    async def follow(self, kept: WarmRows | None = None) -> None:
        self.standby.keep(frozenset({0}), frozenset({0}), {} if kept is None else {0: kept})
        await self.warm()

    async def warm(self) -> None:
        """Wait until the standby knows the end of the changelog."""
        end = await self.end()
        async with asyncio.timeout(30):
            while True:
                follower = self.standby._followers[0]  # noqa: SLF001 - how far it is
                if follower.rows is not None and follower.rows.at == end and self.standby.warm == {0}:
                    return
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def broker(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaOptions]:
    """A broker that compacts at once."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), port=0, overrides={"log.cleaner.backoff.ms": "100"})
    servers_loop.enter(kafka)
    yield KafkaOptions(kafka.bootstrap_servers)
    servers_loop.leave(kafka)


@pytest.fixture
async def world(broker: KafkaOptions, tmp_path: Path) -> AsyncIterator[_World]:
    name = f"standby-{random.randrange(10**9)}"
    source, changelog = f"{name}.telemetry", f"{name}.state"
    config = {"cleanup.policy": "compact,delete", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001"}
    admin = AIOKafkaAdminClient(**broker.client_kwargs())
    await admin.start()
    await admin.create_topics([NewTopic(source, 1, 1), NewTopic(changelog, 1, 1, topic_configs=config)])
    await admin.close()
    with ThreadPoolExecutor(1) as thread:
        made = _World(EngineOptions(broker, name, source, changelog, "cluster", tmp_path, partitions=1), thread)
        yield made
        await made.standby.close()


async def _delete_before(world: _World, offset: int) -> None:
    admin = AIOKafkaAdminClient(**world.options.kafka.client_kwargs())
    await admin.start()
    await admin.delete_records({TopicPartition(world.options.changelog, 0): RecordsToDelete(before_offset=offset)})
    await admin.close()


async def _compacted(world: _World) -> None:
    """Wait until no superseded row is left but in the newest segment."""
    place = TopicPartition(world.options.changelog, 0)
    async with asyncio.timeout(60):
        while True:
            await world.write(tick="x")  # rolls the segment
            async with ChangelogReader(world.options.kafka, world.options.changelog) as changelog:
                seen = [
                    key
                    async for block in changelog._records(0, 0, await changelog.end(place.partition))  # noqa: SLF001
                    for key, _ in block.pairs()
                ]
            if seen.count(b"a") <= 1:
                return
            await asyncio.sleep(0.2)


async def test_an_empty_changelog_restores_to_nothing(world: _World) -> None:
    assert await world.rows() == {}
    await world.follow()
    assert await world.rows(await world.standby.take(0)) == {}


async def test_a_compacted_changelog_with_tombstones_and_gaps_restores(world: _World) -> None:
    for turn in range(5):
        await world.write(a=str(turn), b=str(turn), c=None if turn == 3 else str(turn))
    await world.write(c=None)
    await _compacted(world)
    expected = {b"a": b"4", b"b": b"4", b"tick": b"x"}
    assert await world.rows() == expected
    await world.follow()
    assert await world.rows(await world.standby.take(0)) == expected


async def test_a_changelog_whose_beginning_was_deleted_restores_to_what_is_left(world: _World) -> None:
    await world.write(a="1", b="1")
    cut = await world.end()
    await world.write(b="2", c="2")
    await _delete_before(world, cut)
    assert await world.rows() == {b"b": b"2", b"c": b"2"}
    await _delete_before(world, await world.end())
    assert await world.rows() == {}


async def test_rows_kept_from_before_a_changelog_was_cut_are_what_is_left_too(world: _World) -> None:
    await world.write(a="1", b="1")
    await world.follow()
    kept = await world.standby.take(0)
    await world.write(b="2")
    cut = await world.end()
    await world.write(c="3")
    await _delete_before(world, cut)
    assert await world.rows(kept) == {b"c": b"3"}


async def test_a_standby_follows_and_its_successor_reads_the_end_alone(world: _World) -> None:
    await world.write(**{f"k{number}": "1" for number in range(500)})
    await world.follow()
    async with asyncio.timeout(10):
        while not world.calls:  # noqa: ASYNC110 - it is told between two fetches
            await asyncio.sleep(0.02)
    assert world.calls == 1, "it says once that what others waited for is warm"
    await world.write(k1="2", k2=None)
    await world.warm()
    warm = await world.standby.take(0)
    assert warm is not None
    await world.write(k3="3")
    found: Any = warm.processor
    before = found.taken_in
    rows = await world.rows(warm)
    assert found.taken_in - before == 1
    assert rows == await world.rows()
    assert (len(rows), rows[b"k1"], rows[b"k3"]) == (499, b"2", b"3")


async def test_a_standby_sees_nothing_of_transactions_that_are_open_or_aborted(world: _World) -> None:
    await world.write(a="1")
    await world.follow()
    opened, transactions = await world.open()
    producer: AIOKafkaProducer = transactions._producer  # noqa: SLF001 - in mid-transaction
    await producer.begin_transaction()
    await producer.send_and_wait(world.options.changelog, b"9", key=b"a", partition=0)
    await asyncio.sleep(1.5)
    rows: Any = world.standby._followers[0].rows  # noqa: SLF001 - what it has
    assert rows.processor.rows == {b"a": b"1"}
    await producer.abort_transaction()
    await world.flush(opened, transactions, b="2")
    await transactions.close()
    await world.warm()
    assert await world.rows(await world.standby.take(0)) == {b"a": b"1", b"b": b"2"}


async def test_a_standby_of_another_version_begins_anew_under_the_one_in_force(world: _World) -> None:
    await world.write(a="1")
    await world.follow()
    first = world.versions.made[-1]
    opened, transactions = await world.open()
    processor: Any = opened.processor
    processor.version = "two"
    await world.flush(opened, transactions, a="2")
    await world.flush(opened, transactions, b="2")
    await transactions.close()
    await world.warm()
    warm = await world.standby.take(0)
    assert warm is not None
    rows: Any = warm.processor
    assert rows is not first
    assert (rows.version, rows.rows) == ("two", {b"a": b"2", b"b": b"2"})


async def test_warm_rows_of_another_version_are_not_used(world: _World) -> None:
    await world.write(a="1")
    await world.follow()
    warm = await world.standby.take(0)
    opened, transactions = await world.open()
    processor: Any = opened.processor
    processor.version = "two"
    await world.flush(opened, transactions, b="2")
    await transactions.close()
    opened, transactions = await world.open(warm)
    await transactions.close()
    assert warm is not None
    assert opened.processor is not warm.processor
    assert opened.processor.note() == {"version": "two"}


async def test_a_standby_whose_changelog_lost_what_comes_next_begins_anew(world: _World) -> None:
    await world.write(a="1", b="1")
    await world.follow()
    first = world.versions.made[-1]
    behind = await world.standby.take(0)
    await world.write(b="2")
    cut = await world.end()
    await world.write(c="3")
    await _delete_before(world, cut)
    await world.follow(kept=behind)
    warm = await world.standby.take(0)
    assert warm is not None
    rows: Any = warm.processor
    assert rows is not first
    assert rows.rows == {b"c": b"3"}


async def test_warm_rows_of_a_changelog_that_was_made_anew_are_not_used(world: _World) -> None:
    await world.write(a="1")
    await world.follow()
    warm = await world.standby.take(0)
    await make_anew(world.options.kafka, world.options.changelog, 1)
    for _ in range(3):
        await world.write(b="2")
    assert warm is not None
    assert await world.end() > warm.at, "by its offsets it could be the same"
    assert await world.rows(warm) == {b"b": b"2"}


async def test_rows_that_were_let_go_are_kept_up_by_the_standby_and_used_again(world: _World) -> None:
    await world.write(a="1")
    opened, transactions = await world.open()
    await world.flush(opened, transactions, b="1")
    await transactions.close()
    kept = WarmRows.of(opened)
    assert kept is not None
    await world.write(c="1")
    await world.follow(kept=kept)
    warm = await world.standby.take(0)
    assert warm is kept
    again, transactions = await world.open(warm)
    await transactions.close()
    rows: Any = again.processor
    assert again.processor is opened.processor
    assert rows.rows == await world.rows() == {b"a": b"1", b"b": b"1", b"c": b"1"}


async def test_what_is_no_longer_wanted_is_no_longer_followed(world: _World) -> None:
    await world.write(a="1")
    await world.follow()
    world.standby.keep(frozenset(), frozenset(), {})
    assert world.standby.warm == frozenset()
    async with asyncio.timeout(10):
        while world.standby._task is not None:  # noqa: ASYNC110, SLF001 - it ends by itself
            await asyncio.sleep(0.05)
    async with LogAdmin(world.options.kafka) as admin:
        assert await admin.partitions_of(world.options.changelog) == 1
