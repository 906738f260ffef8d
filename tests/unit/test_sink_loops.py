"""The sinks' loops: commit only what the store has, wait for it, give up what it refuses."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError
from support.spans import KeptSpans

from connectors.documents import Collection, Document
from connectors.duckdb.store import DuckDBStore
from connectors.memory.log import MemoryLog
from connectors.memory.stores import MemoryDocumentStore, MemorySeriesStore
from connectors.metadata_sink import MetadataSink
from connectors.projection import position_of
from connectors.series import Series
from connectors.sink import SilentSink
from connectors.stores import Block, Refusal, StoreRefusedError, StoreUnavailableError
from connectors.timeseries_sink import TimeseriesSink
from schemas.errors import SetupError
from schemas.headers import TRACEPARENT
from schemas.messages import DeadLetter
from schemas.topics import DEADLETTER
from schemas.trace import MOST_SPANS
from streams.log.record import LogRecord

TOPIC = "twinstream.m.timeseries"
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Reader:
    """A consumer group's member over lists, which can be rebalanced."""

    def __init__(self, *partitions: list[LogRecord]) -> None:
        self.log = dict(enumerate(partitions))
        self.position = dict.fromkeys(self.log, 0)
        self.committed = dict.fromkeys(self.log, 0)
        self.assigned = set(self.log)
        self.commits = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def rebalance(self, *assigned: int) -> None:
        self.assigned = set(assigned)
        self.position = dict(self.committed)

    async def read(self, max_records: int = 1000, timeout_s: float = 0.5) -> list[LogRecord]:
        found: list[LogRecord] = []
        for partition in sorted(self.assigned):
            records = [one for one in self.log[partition] if one.offset >= self.position[partition]]
            records = records[: max_records - len(found)]
            found += records
            if records:
                self.position[partition] = records[-1].offset + 1
        if not found:
            await asyncio.sleep(min(timeout_s, 0.001))
        return found

    async def commit(self) -> None:
        self.commits += 1
        self.committed |= {partition: self.position[partition] for partition in self.assigned}

    async def seek(self, positions: Mapping[tuple[str, int], int]) -> None:
        self.position |= {partition: offset for (_, partition), offset in positions.items()}

    def assignment(self) -> set[tuple[str, int]]:
        return {(TOPIC, partition) for partition in self.assigned}


class Watching(SilentSink):
    def __init__(self) -> None:
        self.up: list[bool] = []
        self.records = 0
        self.refusals: dict[str, int] = {}

    def stored(self, records: int, size_bytes: int) -> None:
        assert size_bytes >= 0
        self.records += records

    def refused(self, type_name: str, refusals: int) -> None:
        self.refusals[type_name] = self.refusals.get(type_name, 0) + refusals

    def available(self, *, up: bool) -> None:
        self.up.append(up)


class Plain(MemorySeriesStore):
    """A store without positions, which fails when told to."""

    positions = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = []
        self.writes: list[Sequence[Block]] = []

    async def write(self, blocks: Sequence[Block]) -> None:
        self.writes.append(list(blocks))
        if self.failures:
            raise self.failures.pop(0)
        await super().write(blocks)


def lines(partition: int, offset: int, *texts: str) -> LogRecord:
    return LogRecord(TOPIC, partition, offset, 1_690_000_000_000, None, "".join(f"{t}\n" for t in texts).encode(), ())


def history(partition: int, count: int) -> list[LogRecord]:
    # Every third offset is a transaction's mark.
    return [lines(partition, at * 3, f"m,twin=t{partition} f={at} {at}") for at in range(count)]


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sink.LINGER_S", 0.01)
    monkeypatch.setattr("connectors.sink.FIRST_DELAY_S", 0.002)
    monkeypatch.setattr("connectors.sink.LONGEST_DELAY_S", 0.01)


async def letters(log: MemoryLog) -> list[DeadLetter]:
    return [msgspec.json.decode(one.value or b"", type=DeadLetter) for one in log.records.get(DEADLETTER, [])]


async def test_a_round_gathers_what_belongs_together_and_commits_after_the_write() -> None:
    reader, store, watching = Reader(history(0, 5), history(1, 5)), Plain(), Watching()

    async def checked(blocks: Sequence[Block]) -> None:
        assert reader.commits == 0
        await Plain.write(store, blocks)

    store.write = checked  # type: ignore[method-assign]
    await TimeseriesSink(reader, store, MemoryLog().writer(), watching).round()
    assert [len(blocks) for blocks in store.writes] == [10]
    assert reader.committed == {0: 13, 1: 13}
    assert watching.records == 10


async def test_a_span_lasts_from_the_reading_to_the_commit_however_often_a_round_is_repeated() -> None:
    reader, store, kept = Reader(history(0, 1)), Plain(), KeptSpans()
    reader.log[0][0] = reader.log[0][0]._replace(headers=((TRACEPARENT, PARENT),))
    store.failures = [KafkaConnectionError("the dead letters' broker is away")]
    read, told = reader.read, []

    async def watched(max_records: int = 1000, timeout_s: float = 0.5) -> list[LogRecord]:
        told.append(len(kept.spans))
        return await read(max_records, timeout_s)

    reader.read = watched  # type: ignore[method-assign]
    sink = TimeseriesSink(reader, store, MemoryLog().writer(), SilentSink(), kept)
    with pytest.raises(KafkaConnectionError):
        await sink.round()
    assert told[:2] == [0, 1]  # begun before it waits for company
    assert [span.ended for span in kept.spans] == [0]
    await sink.round()
    assert [(span.parent, span.ended) for span in kept.spans] == [(PARENT, 1)]


async def test_headers_that_are_no_traces_take_no_span_from_those_that_are() -> None:
    kept = KeptSpans()
    headers = ((TRACEPARENT, b"none"),) * 3 + ((TRACEPARENT, PARENT),) * (MOST_SPANS + 1)
    reader = Reader([lines(0, 0, "m,twin=a f=1 1")._replace(headers=headers)])
    await TimeseriesSink(reader, Plain(), MemoryLog().writer(), SilentSink(), kept).round()
    assert [span.ended for span in kept.spans] == [1] * MOST_SPANS


async def test_a_store_that_is_away_is_asked_again_and_nothing_is_committed_meanwhile(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, store, watching = Reader(history(0, 3)), Plain(), Watching()
    store.failures = [StoreUnavailableError("gone") for _ in range(8)]
    sink = TimeseriesSink(reader, store, MemoryLog().writer(), watching)
    await sink.round()
    assert len(store.writes) == 9
    assert all(blocks == store.writes[0] for blocks in store.writes)
    assert reader.commits == 1
    assert watching.up == [False, True]
    assert (await store.series("m", "t0", "f", None, None, 10)).value == [0.0, 1.0, 2.0]
    said = capsys.readouterr().out
    assert said.count("store is away") == 1
    assert said.count("store is back") == 1


async def test_a_store_is_left_alone_for_as_long_as_it_asks_and_no_longer_than_is_sensible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("connectors.sink.LONGEST_WISH_S", 0.15)
    for asked_s, least_s, most_s in ((0.1, 0.1, 0.14), (3600.0, 0.15, 1.0), (0.0, 0.0, 0.05)):
        store = Plain()
        store.failures = [StoreUnavailableError("later", asked_s)]
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await TimeseriesSink(Reader(history(0, 3)), store, MemoryLog().writer(), SilentSink()).round()
        assert least_s <= loop.time() - began_s - 0.01 <= most_s + 0.5


async def test_a_store_that_is_away_holds_up_its_own_sink_alone() -> None:
    log, documents = MemoryLog(), MemoryDocumentStore()
    away = Plain()
    away.failures = [StoreUnavailableError("gone") for _ in range(100_000)]
    for at in range(20):
        log.send(TOPIC, None, b"m,twin=a f=%d %d\n" % (at, at), ())
        value = (
            b'{"id":"t%d","type":"m","project":"main","version":"1","revision":1,"parameters":{},"tags":{},'
            b'"definition":"","created_ns":1,"updated_ns":1,"status":"ok"}' % at
        )
        log.send("twinstream.m.metadata", b"t%d" % at, value, ())
    stuck = TimeseriesSink(Reader(history(0, 20)), away, log.writer(), SilentSink())
    free = MetadataSink(log.reader("metadata", r"^twinstream\.m\.metadata$"), documents, log.writer(), SilentSink())
    tasks = [asyncio.create_task(sink.run()) for sink in (stuck, free)]
    await until(lambda: log.committed("metadata", "twinstream.m.metadata") == 20)
    assert len((await documents.list(Collection.TWINS)).items) == 20
    assert len(away.writes) > 0
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_sink_that_is_stopped_while_its_store_is_away_has_committed_nothing() -> None:
    reader, store = Reader(history(0, 3)), Plain()
    store.failures = [StoreUnavailableError("gone") for _ in range(100_000)]
    task = asyncio.create_task(TimeseriesSink(reader, store, MemoryLog().writer(), SilentSink()).run())
    await until(lambda: len(store.writes) > 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reader.commits == 0


async def test_a_store_that_can_not_be_used_ends_the_sink() -> None:
    store = Plain()
    store.failures = [SetupError("set timeseries.token")]
    with pytest.raises(SetupError, match=r"timeseries\.token"):
        await TimeseriesSink(Reader(history(0, 3)), store, MemoryLog().writer(), SilentSink()).run()


@pytest.mark.parametrize("kind", ["memory", "duckdb"])
async def test_refused_lines_are_dead_letters_before_the_commit_and_the_rest_is_stored(
    kind: str, tmp_path: Path
) -> None:
    store: Any = MemorySeriesStore() if kind == "memory" else DuckDBStore(tmp_path / "s.duckdb", log_id="one")
    records = [lines(0, 0, "m,twin=a f=1 1", "m,twin=b-2 f=oops 2", "m,twin=a f=3 3"), lines(0, 1, "???")]
    reader, log, watching = Reader(records), MemoryLog(), Watching()
    log.hold()
    async with store:
        sink = TimeseriesSink(reader, store, log.writer(), watching)
        task = asyncio.create_task(sink.run())
        await asyncio.sleep(0.1)
        assert reader.commits == 0
        log.release()
        await until(lambda: reader.commits > 0)
        task.cancel()
        assert await store.series("m", "a", "f", None, None, 10) == Series([1, 3], [1.0, 3.0])
        assert await store.positions() == {(TOPIC, 0): 2}
    found = await letters(log)
    assert [(one.reason, one.type, one.twin, one.source) for one in found] == [
        ("sink_refused", "m", "b-2", f"kafka:{TOPIC}/0/0"),
        ("sink_refused", "m", "", f"kafka:{TOPIC}/0/1"),
    ]
    assert [base64.b64decode(one.raw_base64) for one in found] == [b"m,twin=b-2 f=oops 2", b"???"]
    assert [one.key for one in log.records[DEADLETTER]] == [b"b-2", None]
    assert found[0].received_ns == 1_690_000_000_000_000_000
    assert watching.refusals == {"m": 2}


async def test_a_repeated_refusal_has_the_same_id() -> None:
    log = MemoryLog()
    for _ in range(2):
        await TimeseriesSink(Reader([lines(0, 0, "???")]), Plain(), log.writer(), SilentSink()).round()
    assert len({one.id for one in await letters(log)}) == 1


async def test_the_position_in_the_store_is_where_reading_goes_on(tmp_path: Path) -> None:
    async with DuckDBStore(tmp_path / "s.duckdb", log_id="one") as store:
        reader = Reader(history(0, 10), history(1, 10))
        # The group is behind in one partition and ahead in the other, whose points the file never got.
        await store.write([Block(position_of(record), record.value or b"") for record in reader.log[0][:6]])
        reader.committed = {0: 3, 1: 20}
        reader.rebalance(0, 1)
        task = asyncio.create_task(TimeseriesSink(reader, store, MemoryLog().writer(), SilentSink()).run())
        await until(lambda: reader.committed == {0: 28, 1: 28})
        for twin in ("t0", "t1"):
            assert (await store.series("m", twin, "f", None, None, 100)).time_ns == list(range(10))
        task.cancel()


async def test_rebalances_at_any_time_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    reader = Reader(history(0, 300), history(1, 300), history(2, 300))
    for assigned in ((0,), (0, 1), (), (2,), (0, 1, 2), (1, 2), (0, 1, 2)):
        reader.rebalance(*assigned)
        async with DuckDBStore(path, log_id="one") as store:
            task = asyncio.create_task(TimeseriesSink(reader, store, MemoryLog().writer(), SilentSink()).run())
            await asyncio.sleep(0.03)
            task.cancel()
    async with DuckDBStore(path, log_id="one") as store:
        task = asyncio.create_task(TimeseriesSink(reader, store, MemoryLog().writer(), SilentSink()).run())
        await until(lambda: stored_up_to(store, 898))
        task.cancel()
        for twin in ("t0", "t1", "t2"):
            assert (await store.series("m", twin, "f", None, None, 1000)).time_ns == list(range(300))


@pytest.mark.parametrize("failing", ["read", "commit"])
async def test_what_was_read_before_an_error_of_kafka_is_stored_in_the_next_round(failing: str) -> None:
    reader, store = Reader(history(0, 3)), Plain()
    works, calls = getattr(reader, failing), 0

    async def fails_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == (2 if failing == "read" else 1):
            raise KafkaConnectionError
        return await works(*arguments)

    setattr(reader, failing, fails_once)
    sink = TimeseriesSink(reader, store, MemoryLog().writer(), SilentSink())
    with pytest.raises(KafkaConnectionError):
        await sink.round()
    await sink.round()
    assert (await store.series("m", "t0", "f", None, None, 10)).value == [0.0, 1.0, 2.0]
    assert reader.committed == {0: 7}


async def test_metadata_that_is_refused_or_unreadable_is_a_dead_letter_and_the_rest_is_stored() -> None:
    class Picky(MemoryDocumentStore):
        away = 3

        async def upsert(self, collection: Collection, documents: Sequence[Document]) -> None:
            self.away -= 1
            if self.away > 0:
                message = "gone"
                raise StoreUnavailableError(message)
            bad = [one for one in documents if one.newest.get("version") == "bad"]
            await super().upsert(collection, [one for one in documents if one not in bad])
            if bad:
                raise StoreRefusedError([Refusal(one.position, b"", "too odd") for one in bad])

    def twin(offset: int, name: str, version: str) -> LogRecord:
        value = (
            b'{"id":"%b","type":"m","project":"main","version":"%b","revision":1,"parameters":{},"tags":{},'
            b'"definition":"","created_ns":1,"updated_ns":1,"status":"ok"}' % (name.encode(), version.encode())
        )
        return LogRecord("twinstream.m.metadata", 0, offset, 0, name.encode(), value, ())

    records = [twin(0, "a", "1"), twin(1, "b", "bad"), twin(2, "c", "1")]
    records.append(LogRecord("twinstream.m.metadata", 0, 3, 0, b"d", b"{", ()))
    reader, log, store = Reader(records), MemoryLog(), Picky()
    await MetadataSink(reader, store, log.writer(), SilentSink()).round()
    assert [item["id"] for item in (await store.list(Collection.TWINS)).items] == ["a", "c"]
    assert [(one.twin, one.source[-1]) for one in await letters(log)] == [("d", "3"), ("b", "1")]
    assert reader.committed == {0: 4}


async def stored_up_to(store: DuckDBStore, offset: int) -> bool:
    return set((await store.positions()).values()) == {offset}


async def test_a_block_that_makes_the_stores_client_stumble_is_a_dead_letter_and_its_neighbours_are_stored() -> None:
    class Stumbling(Plain):
        async def write(self, blocks: Sequence[Block]) -> None:
            if any(b"f=4 " in block.lines for block in blocks):
                message = "can't be put into the protocol"
                raise ValueError(message)
            await super().write(blocks)

    reader, log, store = Reader(history(0, 10)), MemoryLog(), Stumbling()
    await TimeseriesSink(reader, store, log.writer(), SilentSink()).round()
    assert (await store.series("m", "t0", "f", None, None, 100)).time_ns == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert [one.source for one in await letters(log)] == [f"kafka:{TOPIC}/0/12"]
    assert reader.committed == {0: 28}


async def test_a_document_that_makes_the_stores_client_stumble_is_a_dead_letter_alone() -> None:
    class Stumbling(MemoryDocumentStore):
        async def upsert(self, collection: Collection, documents: Sequence[Document]) -> None:
            if any(one.id == "m/t3" for one in documents):
                raise RecursionError
            await super().upsert(collection, documents)

    def twin(at: int) -> LogRecord:
        value = (
            b'{"id":"t%d","type":"m","project":"main","version":"1","revision":1,"parameters":{},"tags":{},'
            b'"definition":"","created_ns":1,"updated_ns":1,"status":"ok"}' % at
        )
        return LogRecord("twinstream.m.metadata", 0, at, 0, b"t%d" % at, value, ())

    reader, log, store = Reader([twin(at) for at in range(6)]), MemoryLog(), Stumbling()
    await MetadataSink(reader, store, log.writer(), SilentSink()).round()
    assert [item["id"] for item in (await store.list(Collection.TWINS)).items] == ["t0", "t1", "t2", "t4", "t5"]
    assert [(one.twin, one.reason) for one in await letters(log)] == [("t3", "sink_refused")]
    assert reader.committed == {0: 6}
