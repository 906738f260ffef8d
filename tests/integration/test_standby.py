"""Restoring and keeping warm on a real Kafka: whatever became of the changelog, rows are what it says."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from servers.background import BackgroundLoop
from structlog.testing import capture_logs
from support.topics import make_anew

from infra.embedded import EmbeddedKafka
from schemas.clock import ManualClock
from streams.backoff import Backoff
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

if TYPE_CHECKING:
    from streams.packing import PackedBatch

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
        self.refuses = False

    def restore(self, rows: Block) -> None:
        if self.refuses:
            message = "not today"
            raise ValueError(message)
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

    def prepare(self) -> None:
        """Nothing is needed."""

    def process(self, block: Block) -> Outcome:
        raise NotImplementedError(block)

    def refuse(self, record: Block, detail: str) -> Outcome:
        raise NotImplementedError(record, detail)

    def suspect(self, held: Mapping[int, str]) -> None:
        """Nothing is held back."""

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
        self.refuse = False

    async def make(self, _lineage: Lineage, note: Mapping[str, str]) -> _Rows:
        self.made.append(_Rows(note.get("version", "one")))
        self.made[-1].refuses = self.refuse
        return self.made[-1]

    async def provide(self, wanted: str) -> None:
        raise AssertionError(wanted)


class _World:
    """A partition with an owner, and whoever comes after it."""

    def __init__(self, options: EngineOptions, thread: ThreadPoolExecutor) -> None:
        self.options = options
        self.versions = _Versions()
        self.calls = 0
        self.clock = ManualClock()
        self._thread = thread
        self.standby = self._standby()

    def _standby(self) -> Standby:
        def ready() -> None:
            self.calls += 1

        return Standby(self.options, self.versions, SilentObserver(), self.in_thread, ready, self.clock)

    async def in_thread(self, _partition: int, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def open(self, warm: WarmRows | None = None) -> tuple[PartitionRows, PartitionTransactions]:
        return await Opener(self.options, self.versions, SilentObserver(), self.in_thread, self.clock).open(0, warm)

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
        batches: dict[Place, list[PackedBatch]] = {self.options.changelog: transactions.batches(snapshot.rows)}
        source = TopicPartition(self.options.source, 0)
        last = await transactions.commit(batches, self.options.changelog, {source: 0}, self.options.group)
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
    config = {
        "cleanup.policy": "compact,delete",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "1",
    }
    admin = AIOKafkaAdminClient(**broker.client_kwargs())
    await admin.start()
    await admin.create_topics([NewTopic(source, 1, 1), NewTopic(changelog, 1, 1, topic_configs=config)])
    await admin.close()
    async with LogAdmin(broker) as known, asyncio.timeout(30):
        for topic in (source, changelog):
            while not await known.partitions_of(topic):  # noqa: ASYNC110 - Kafka has no event for it
                await asyncio.sleep(0.02)
    with ThreadPoolExecutor(1) as thread:
        made = _World(EngineOptions(broker, name, source, changelog, "cluster", tmp_path, partitions=1), thread)
        yield made
        await made.standby.close()


async def _delete_before(world: _World, offset: int) -> None:
    admin = AIOKafkaAdminClient(**world.options.kafka.client_kwargs())
    await admin.start()
    await admin.delete_records({TopicPartition(world.options.changelog, 0): RecordsToDelete(before_offset=offset)})
    await admin.close()


async def _compacted(world: _World, left: int = 1) -> None:
    """Wait until no superseded row of `a` is left, or nothing of it at all, but in the newest segment."""
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
            if seen.count(b"a") <= left:
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
    assert opened.processor.note() == {"version": "two"}
    assert warm.is_gone, "they may take as much memory as those that took their place"


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


async def _forgets_a(world: _World) -> WarmRows:
    """Rows that a standby had before one of them was deleted, and the changelog forgot that."""
    await world.write(a="1", b="1")
    await world.follow()
    kept = await world.standby.take(0)
    assert kept is not None
    await world.write(a=None)
    await _compacted(world, left=0)
    return kept


async def test_rows_older_than_the_changelog_remembers_deletions_are_read_anew(world: _World) -> None:
    kept = await _forgets_a(world)
    world.clock.advance(world.options.rows_age_s + 1)
    assert await world.rows(kept) == {b"b": b"1", b"tick": b"x"}
    assert kept.is_gone


async def test_a_standby_throws_rows_away_that_were_not_followed_for_too_long(world: _World) -> None:
    kept = await _forgets_a(world)
    world.clock.advance(world.options.rows_age_s + 1)
    await world.follow(kept=kept)
    async with asyncio.timeout(20):
        while world.standby._followers[0].rows in {None, kept}:  # noqa: ASYNC110, SLF001 - it begins anew
            await asyncio.sleep(0.05)
    await world.warm()
    warm = await world.standby.take(0)
    assert warm is not None
    rows: Any = warm.processor
    assert rows.rows == {b"b": b"1", b"tick": b"x"}


async def test_old_rows_are_used_where_nothing_was_written_since(world: _World) -> None:
    await world.write(a="1")
    opened, transactions = await world.open()
    await world.flush(opened, transactions, b="1")
    await transactions.close()
    kept = WarmRows.of(opened)
    world.clock.advance(10 * world.options.rows_age_s)
    assert kept is not None
    opened, transactions = await world.open(kept)
    await transactions.close()
    assert opened.processor is kept.processor


async def test_a_standby_knows_that_it_is_up_to_date_and_stays_so_for_as_long_as_it_follows(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.standby._ASK_S", 0.0)
    await world.write(a="1")
    await world.follow()
    first = world.versions.made[-1]
    for turn in range(4):
        world.clock.advance(0.6 * world.options.rows_age_s)
        moved_s = world.clock.running_s()
        await world.write(a=str(turn))
        async with asyncio.timeout(20):
            while not (rows := world.standby._followers[0].rows) or rows.current_s < moved_s:  # noqa: ASYNC110, SLF001
                await asyncio.sleep(0.05)
        assert rows.processor is first, "nothing is read anew"


async def test_a_standby_that_cannot_take_in_its_changelog_tries_again_later_and_later_and_tells_it_once(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_s: list[float] = []
    failed = Backoff.failed

    def hurried(self: Backoff) -> float:
        given_s.append(failed(self))
        return 0.0

    async def attempts(more: int) -> None:
        upto = len(given_s) + more
        async with asyncio.timeout(60):
            while len(given_s) < upto:  # noqa: ASYNC110 - counted by the way
                await asyncio.sleep(0.02)

    monkeypatch.setattr(Backoff, "failed", hurried)
    await world.write(a="1")
    world.versions.refuse = True
    before = len(world.versions.made)
    with capture_logs() as lines:
        world.standby.keep(frozenset({0}), frozenset(), {})
        await attempts(9)
        assert len(world.versions.made) - before >= 9, "each time from the beginning"
        for number, delay_s in enumerate(given_s[:9]):
            longest_s = min(0.5 * 2**number, 60.0)
            assert longest_s / 2 <= delay_s <= longest_s
        world.versions.refuse = False
        for made in world.versions.made:
            made.refuses = False
        await world.warm()
        follows = world.versions.made[-1]
        opened, transactions = await world.open()
        follows.refuses = world.versions.refuse = True
        again = len(given_s)
        await world.flush(opened, transactions, a="2")
        await transactions.close()
        await attempts(2)
        assert given_s[again] <= 0.5 < given_s[again + 1], "it begins anew after it went well"
    told = [line["event"] for line in lines if line["event"].startswith("standby")]
    begins = "standby begins anew, and tries until it can follow"
    assert told == [begins, "standby follows again", begins]
