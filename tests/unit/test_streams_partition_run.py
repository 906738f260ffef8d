"""An owned partition between blocks, flushes, failures and its release, with a thread as the engine has it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from support.spans import KeptSpan

from streams.block import Block
from streams.changelog import POSITION_KEY, Position
from streams.faults import Faults
from streams.log.client import KafkaOptions
from streams.options import EngineOptions
from streams.partition import FlushPolicy, PartitionRows
from streams.partition_run import Host, PartitionRun
from streams.processor import HeldRecordsError, Lineage, NotNowError, Outcome, SilentObserver
from streams.rows_thread import RowsThread, others_go_on

OPTIONS = EngineOptions(
    KafkaOptions("127.0.0.1:1"),
    "group",
    "source",
    "changelog",
    "cluster",
    Path(),
    flush=FlushPolicy(interval_s=0.0, records=2, group_interval_s=0.0),
)


class _Slow:
    """Hands values on; `slow` takes 0.3 s, `x` raises after it changed a row, `new` wants itself first.

    `outside` lets others go on for 0.3 s.

    `must` raises until it is known, and may not be given up; `away` says that it can't be stepped now until then, and
    nothing can where `none` is known.

    `held…` is stepped when `go` comes, of which `held x` raises.
    """

    tick_s = 0.0
    may_wait = False
    size_bytes = 0

    def __init__(self, known: set[str]) -> None:
        self.stepped: list[bytes | None] = []
        self.dirty = False
        self.known = known
        self.held: dict[int, bytes] = {}
        self.suspected: Mapping[int, str] = {}
        self.told: list[Mapping[int, str]] = []
        self.slow_to_prepare = False
        self.spans: list[KeptSpan] = []

    def restore(self, rows: Block) -> None:
        """Nothing to take in."""

    def restored(self) -> Outcome:
        return Outcome()

    def prepare(self) -> None:
        if self.slow_to_prepare:
            with others_go_on():
                time.sleep(0.1)
        if "none" in self.known:
            message = "no process"
            raise NotNowError(message)

    def process(self, block: Block) -> Outcome:
        outcome = Outcome()
        for (_, value), offset in zip(block.pairs(), block.offsets.tolist(), strict=True):
            if value == b"new" and "new" not in self.known:
                outcome.wants, outcome.upto = "new", offset
                break
            if value == b"away" and "away" not in self.known:
                message = "no process"
                raise NotNowError(message)
            if value is not None and value.startswith(b"held"):
                self.held[offset] = value
                continue
            if value == b"go":
                self.let_go(outcome)
            if value == b"slow":
                time.sleep(0.3)
            if value == b"outside":
                with others_go_on():
                    time.sleep(0.3)
            self.stepped.append(value)
            self.dirty = True
            if value == b"x" or (value == b"must" and "must" not in self.known):
                message = "poison"
                raise RuntimeError(message)
            outcome.add("out", b"k", value)
            outcome.spans += self.begun(value)
            if value == b"far":
                outcome.route("other", b"k", value, ())
        return outcome

    def begun(self, value: bytes | None) -> list[KeptSpan]:
        """The span of a `traced` record."""
        spans = [KeptSpan("step", "consumer", b"", {}, b"")] if value == b"traced" else []
        self.spans += spans
        return spans

    def let_go(self, outcome: Outcome) -> None:
        alone = [(at,) for at in self.held if at in self.suspected]
        together = tuple(at for at in self.held if at not in self.suspected)
        for offsets in (*alone, together):
            if why := self.suspected.get(offsets[0], "") if len(offsets) == 1 else "":
                outcome.add("dead", b"k", why.encode())
                continue
            if b"held x" in [self.held[at] for at in offsets]:
                raise HeldRecordsError(offsets) from RuntimeError("held poison")
            for at in offsets:
                outcome.add("out", b"k", self.held[at])
        self.held.clear()

    def suspect(self, held: Mapping[int, str]) -> None:
        self.suspected = held
        self.told.append(held)

    def refuse(self, record: Block, detail: str) -> Outcome:
        outcome = Outcome()
        outcome.add("dead", b"k", detail.encode())
        assert len(record) == 1
        return outcome

    def insists(self, record: Block) -> bool:
        return record.value(0) == b"must"

    def snapshot(self) -> list[tuple[bytes, bytes | None]]:
        self.dirty = False
        return [(b"row", b"".join(value or b"" for value in self.stepped))]

    def note(self) -> Mapping[str, str]:
        return {}


class _Transactions:
    """Keeps what was committed; commits wait for `gate`."""

    def __init__(self) -> None:
        self.committed: list[tuple[dict[str, list[Any]], int | None]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.closed = False
        self.position = 0

    def batches(self, records: Iterable[Any]) -> list[Any]:
        return list(records)

    async def addressed(self, routed: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        return {f"to {topic}": list(records) for topic, records in routed.items()}

    async def commit(self, batches: dict[str, list[Any]], _last: str, offsets: Mapping[Any, int], _group: str) -> int:
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.committed.append((batches, next(iter(offsets.values()), None)))
        (written,) = [value for key, value, _ in batches["changelog"] if key == POSITION_KEY]
        self.position = msgspec.json.decode(written, type=Position).offset
        return 10 * len(self.committed)

    async def close(self) -> None:
        self.closed = True

    def values(self, topic: str) -> list[bytes]:
        return [value for batches, _ in self.committed for _, value, _ in batches.get(topic, [])]


class _Source:
    """Remembers pauses and seeks."""

    def __init__(self) -> None:
        self.paused: set[int] = set()
        self.sought: list[int] = []
        self.first = 0
        self.last: int | None = None
        self.waiting = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.seeking: Callable[[], Awaitable[None]] | None = None
        self.fault: Exception | None = None

    def assigned(self) -> frozenset[int]:
        return frozenset({0})

    def pause(self, partition: int) -> None:
        self.paused.add(partition)

    def resume(self, partition: int) -> None:
        self.paused.discard(partition)

    async def seek(self, _partition: int, position: int) -> None:
        self.sought.append(position)
        if self.fault is not None:
            raise self.fault
        if self.seeking is not None:
            await self.seeking()

    def lag(self, _partition: int, _position: int) -> int:
        return self.waiting

    def end(self, _partition: int) -> int | None:
        return self.last

    async def earliest(self, _partition: int) -> int:
        await self.answering.wait()
        return self.first


class _Watch(SilentObserver):
    """Remembers what is told of steps and losses."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.gone = 0
        self.standing_for: list[str] = []

    def standing(self, _partition: int, why: str) -> None:
        self.standing_for.append(why)

    def stepping(self, _partition: int, _offset: int, _end: int) -> None:
        self.steps.append("stepping")

    def stepped(self, _partition: int) -> None:
        self.steps.append("stepped")

    def lost(self, _partition: int, records: int) -> None:
        self.gone += records


class _Bench:
    """One partition and everything around it."""

    def __init__(self) -> None:
        self.rows_thread = RowsThread()
        self.transactions, self.source, self.faults, self.watch = _Transactions(), _Source(), Faults(), _Watch()
        self.rebuilds: list[float] = []
        self.known: set[str] = set()
        self.providing = asyncio.Event()
        self.fault: Exception | None = None
        self.options = OPTIONS
        self.run = self.rebuilt()

    def rebuilt(self) -> PartitionRun:
        self.processor = _Slow(self.known)
        position = self.transactions.position
        rows = PartitionRows(Lineage("cluster", "topic", 0), self.processor, position, position, 0)
        source: Any = self.source
        transactions: Any = self.transactions
        host = Host(
            self.options,
            self.watch,
            source,
            self.in_thread,
            lambda: None,
            lambda _, delay_s: self.rebuilds.append(delay_s),
            self.provide,
        )
        self.run = PartitionRun(rows, transactions, self.faults, host)
        return self.run

    async def provide(self, wanted: str) -> None:
        if self.fault is not None:
            raise self.fault
        await self.providing.wait()
        self.known.add(wanted)

    async def in_thread(self, partition: int, work: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self.rows_thread.submit(partition, work))

    async def flushed(self) -> None:
        later_s = time.monotonic() + 1
        self.run.flush_if_due(later_s, later_s)
        await asyncio.sleep(0.05)


@pytest.fixture
async def bench() -> _Bench:
    return _Bench()


def _block(first: int, *values: bytes) -> Block:
    return Block.of_records(0, [(first + index, 0, b"k", value, ()) for index, value in enumerate(values)])


async def test_a_partition_that_is_given_up_during_a_step_flushes_that_step_before_its_rows_are_kept(
    bench: _Bench,
) -> None:
    stepping = asyncio.create_task(bench.run.take(_block(0, b"slow", b"b")))
    await asyncio.sleep(0.05)
    kept = await bench.run.close(2.0)
    await stepping
    assert bench.transactions.values("out") == [b"slow", b"b"]
    assert kept is not None
    assert (kept.position, kept.flushed) == (2, 2)
    assert bench.transactions.closed


@pytest.mark.parametrize(("waiting", "behind"), [(0, False), (1999, False), (2000, True)])
async def test_a_partition_is_behind_where_much_waits_not_where_some_does(
    bench: _Bench, waiting: int, *, behind: bool
) -> None:
    bench.source.waiting = waiting
    await bench.run.take(_block(0, b"a"))
    assert bench.run.rows.behind is behind, "flushes are rarer then, which a steady load must not bring about"


async def test_the_group_is_told_now_and_then_and_at_the_end_and_nothing_else_waits_for_it(bench: _Bench) -> None:
    bench.options = replace(OPTIONS, flush=replace(OPTIONS.flush, group_interval_s=60.0))
    run = bench.rebuilt()
    run.rows.told_s = float("-inf")
    for offset in (0, 2, 4):
        await run.take(_block(offset, b"a", b"b"))
        await bench.flushed()
    assert [told for _, told in bench.transactions.committed] == [2, None, None]
    assert (run.rows.flushed, run.rows.told) == (6, 2)
    kept = await run.close(2.0)
    assert [told for _, told in bench.transactions.committed] == [2, None, None, 6]
    assert kept is not None


async def test_rows_that_the_log_holds_are_kept_though_the_group_can_not_be_told(bench: _Bench) -> None:
    bench.options = replace(OPTIONS, flush=replace(OPTIONS.flush, group_interval_s=60.0))
    run = bench.rebuilt()
    run.rows.told_s = float("-inf")
    for offset in (0, 2):
        await run.take(_block(offset, b"a", b"b"))
        await bench.flushed()
    bench.transactions.fault = ConnectionError("gone")
    kept = await run.close(2.0)
    assert kept is not None
    assert (kept.position, kept.flushed, bench.run.rows.told) == (4, 4, 2)


async def test_what_goes_to_others_is_committed_together_with_everything_else_and_once(bench: _Bench) -> None:
    await bench.run.take(_block(0, b"a", b"far"))
    await bench.flushed()
    await bench.run.take(_block(2, b"b", b"c"))
    await bench.flushed()
    assert [(sorted(batches), position) for batches, position in bench.transactions.committed] == [
        (["changelog", "out", "to other"], 2), (["changelog", "out"], 4),
    ]  # fmt: skip
    assert bench.transactions.values("to other") == [b"far"]


async def test_spans_end_when_their_records_are_committed_and_once(bench: _Bench) -> None:
    await bench.run.take(_block(0, b"traced", b"traced"))
    bench.transactions.gate.clear()
    await bench.flushed()
    assert [span.ended for span in bench.processor.spans] == [0, 0]
    bench.transactions.gate.set()
    await asyncio.sleep(0.05)
    await bench.run.take(_block(2, b"b", b"c"))
    await bench.flushed()
    assert [span.ended for span in bench.processor.spans] == [1, 1]


async def test_spans_of_records_that_are_not_committed_never_end(bench: _Bench) -> None:
    await bench.run.take(_block(0, b"traced", b"a"))
    bench.transactions.fault = ConnectionError("away")
    await bench.flushed()
    assert [span.ended for span in bench.processor.spans] == [0]


async def test_rows_of_a_step_that_outlasts_the_release_are_not_kept(bench: _Bench) -> None:
    stepping = asyncio.create_task(bench.run.take(_block(0, b"slow")))
    await asyncio.sleep(0.05)
    assert await bench.run.close(0.05) is None
    await stepping
    assert bench.transactions.committed == []


async def test_rows_whose_last_flush_failed_are_not_kept(bench: _Bench) -> None:
    await bench.run.take(_block(0, b"a"))
    bench.transactions.fault = ConnectionError("away")
    assert await bench.run.close(1.0) is None


async def test_blocks_after_the_release_are_left_to_the_next_owner(bench: _Bench) -> None:
    await bench.run.close(1.0)
    await bench.run.take(_block(0, b"a"))
    assert bench.processor.stepped == []


async def test_a_block_that_waits_for_the_thread_at_the_release_is_left_to_the_next_owner(bench: _Bench) -> None:
    bench.rows_thread.submit(1, lambda: time.sleep(0.05))
    stepping = asyncio.create_task(bench.run.take(_block(0, b"a")))
    await asyncio.sleep(0)
    kept = await bench.run.close(1.0)
    await stepping
    assert (kept and kept.position, bench.processor.stepped, bench.transactions.committed) == (0, [], [])


async def test_a_slow_flush_pauses_its_partition_and_nothing_is_lost_or_reordered(bench: _Bench) -> None:
    bench.transactions.gate.clear()
    await bench.run.take(_block(0, b"a", b"b"))
    await bench.flushed()
    await bench.run.take(_block(2, b"c", b"d"))
    began_s = time.monotonic()
    await bench.run.take(_block(4, b"e"))
    await bench.run.take(_block(5, b"f"))
    assert time.monotonic() - began_s < 0.1, "the agent must be free for other partitions"
    await asyncio.sleep(0.05)
    assert bench.processor.stepped == [b"a", b"b", b"c", b"d"]
    assert bench.source.paused == {0}
    bench.transactions.gate.set()
    await asyncio.sleep(0.1)
    assert bench.source.paused == set()
    assert bench.source.sought == [6], "Faust drops what was on its way when the partition was paused"
    await bench.flushed()
    assert bench.transactions.values("out") == [b"a", b"b", b"c", b"d", b"e", b"f"]


async def test_a_block_that_failed_half_way_is_neither_flushed_nor_stepped_on(bench: _Bench) -> None:
    await bench.run.take(_block(0, b"a", b"x"))
    assert len(bench.rebuilds) == 1
    await bench.flushed()
    await bench.run.take(_block(2, b"c"))
    assert await bench.run.close(1.0) is None
    assert bench.transactions.committed == []
    assert bench.processor.stepped == [b"a", b"x"]


async def test_the_one_record_that_fails_becomes_a_dead_letter_and_its_neighbours_are_stepped(bench: _Bench) -> None:
    records = [b"a", b"b", b"x", b"c", b"d"]
    for _ in range(6):
        before = len(bench.rebuilds)
        await bench.run.take(_block(0, *records))
        await bench.flushed()
        if len(bench.rebuilds) == before:
            break
        await bench.run.close(1.0)
        bench.rebuilt()
    assert bench.transactions.values("out") == [b"a", b"b", b"c", b"d"]
    assert bench.transactions.values("dead") == [b"RuntimeError: poison"]
    assert len(bench.rebuilds) == 3, "the block, the record alone, and once more to be sure"


async def _attempt(bench: _Bench, *values: bytes) -> bool:
    """Read values from the beginning as after a rebuild; whether the partition had to be thrown away for it."""
    before = len(bench.rebuilds)
    bench.rebuilt()
    await bench.run.take(_block(0, *values).since(bench.run.rows.position))
    await bench.flushed()
    return len(bench.rebuilds) > before


async def test_a_record_that_the_processor_insists_on_is_never_passed_over_but_tried_later_and_later(
    bench: _Bench,
) -> None:
    for _ in range(8):
        assert await _attempt(bench, b"a", b"must", b"b")
    assert bench.transactions.values("out") in ([], [b"a"])
    assert bench.rebuilds[-1] >= 8 * bench.rebuilds[-4]
    bench.known.add("must")
    assert not await _attempt(bench, b"a", b"must", b"b")
    assert bench.transactions.values("out") == [b"a", b"must", b"b"]
    assert bench.transactions.values("dead") == []


async def test_a_record_that_was_held_back_and_fails_becomes_a_letter_and_whoever_let_it_go_does_not(
    bench: _Bench,
) -> None:
    records = [b"held a", b"held x", b"b", b"held c", b"go", b"d"]
    for _ in range(8):
        if not await _attempt(bench, *records):
            break
    assert sorted(bench.transactions.values("out")) == [b"b", b"d", b"go", b"held a", b"held c"]
    assert bench.transactions.values("dead") == [b"RuntimeError: held poison"]


async def test_what_is_suspected_of_what_is_held_back_is_told_once_and_once_more_when_nothing_is(bench: _Bench) -> None:
    records = [b"held a", b"held x", b"b", b"held c", b"go", b"d"]
    while await _attempt(bench, *records):
        assert len(bench.processor.told) == 1, "a record comes by itself, and is told nothing new"
    suspected = bench.processor.told[0]
    assert suspected.keys() == {0, 1, 3}
    for offset in (6, 7):
        await bench.run.take(_block(offset, b"e"))
        await bench.flushed()
    assert bench.processor.told == [suspected, {}]
    bench.faults.suspect(_block(8, b"f"), HeldRecordsError((8,)))
    bench.faults.reached(9)
    kept = bench.run.rows
    bench.run = PartitionRun(kept, bench.run._transactions, bench.faults, bench.run._host)  # noqa: SLF001
    await bench.run.take(_block(8, b"f"))
    assert bench.processor.told == [suspected, {}, {}], "rows that are kept are told, whatever they knew"


async def test_what_can_not_be_stepped_now_is_no_record_s_fault_and_is_told_until_it_can(bench: _Bench) -> None:
    for _ in range(8):
        assert await _attempt(bench, b"a", b"away", b"b")
    assert bench.transactions.committed == []
    assert bench.rebuilds[-1] >= 8 * bench.rebuilds[-4]
    assert bench.run.is_excused
    assert "no process" in bench.watch.standing_for[-1]
    bench.known.add("away")
    assert not await _attempt(bench, b"a", b"away", b"b")
    assert bench.watch.standing_for[-1] == ""
    assert (bench.transactions.values("out"), bench.transactions.values("dead")) == ([b"a", b"away", b"b"], [])


@pytest.mark.parametrize("may_wait", [False, True])
async def test_rows_are_kept_while_what_steps_need_outside_is_away_and_it_is_looked_for_later_and_later(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch, *, may_wait: bool
) -> None:
    monkeypatch.setattr("streams.faults.FIRST_DELAY_S", 0.01)
    rows, bench.processor.may_wait = bench.processor, may_wait
    await bench.run.take(_block(0, b"a"))
    bench.known.add("none")
    began_s = time.monotonic()
    await bench.run.take(_block(1, b"b", b"c"))
    await bench.run.take(_block(3, b"d"))
    assert time.monotonic() - began_s < 0.3, "other partitions go on"
    async with asyncio.timeout(5):
        while bench.faults.count < 4:  # noqa: ASYNC110 - counted by the way
            await asyncio.sleep(0.01)
    assert (rows.stepped, bench.source.paused, bench.run.is_excused) == ([b"a"], {0}, True)
    assert "offset 1 can't be stepped now: no process" in bench.watch.standing_for[-1]
    bench.known.remove("none")
    async with asyncio.timeout(5):
        while bench.source.paused:  # noqa: ASYNC110 - a task ends it
            await asyncio.sleep(0.01)
    await bench.flushed()
    assert (bench.rebuilds, bench.processor) == ([], rows)
    assert bench.transactions.values("out") == [b"a", b"b", b"c", b"d"]
    assert (bench.watch.standing_for[-1], bench.faults.count) == ("", 0)


async def test_a_partition_that_is_let_go_while_a_step_is_prepared_is_left_to_the_next_owner(bench: _Bench) -> None:
    bench.processor.slow_to_prepare = True
    stepping = asyncio.create_task(bench.run.take(_block(0, b"a")))
    await asyncio.sleep(0.05)
    assert await bench.run.close(0.01) is None
    await stepping
    assert (bench.processor.stepped, bench.faults.count, bench.faults.end) == ([], 0, 0), "no record is suspected"


async def test_failures_of_transactions_alone_give_transactions_more_time(bench: _Bench) -> None:
    for values in ((b"away",), (b"x", b"a"), (b"x", b"a")):
        assert await _attempt(bench, *values)
    assert (bench.faults.count, bench.faults.flushes) == (3, 0)
    bench.transactions.fault = ConnectionError("away")
    for turn in range(2):
        assert await _attempt(bench, b"a")
        assert bench.faults.flushes == turn + 1
    bench.transactions.fault = None
    assert not await _attempt(bench, b"a")
    assert bench.faults.flushes == 0


async def test_what_a_partition_stands_still_for_is_logged_once_and_observed_until_it_goes_on(bench: _Bench) -> None:
    with capture_logs() as logs:
        for _ in range(8):
            await _attempt(bench, b"must")
        bench.known.add("must")
        await _attempt(bench, b"must")
    errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert errors == ["block failed"] * 2 + ["partition stands still and tries again"]
    *standing, last = bench.watch.standing_for
    assert standing
    assert all("offset 0" in why and "poison" in why for why in standing)
    assert last == ""


async def test_a_partition_that_is_let_go_before_the_step_it_stands_for_does_not_go_on(bench: _Bench) -> None:
    for _ in range(3):
        await _attempt(bench, b"must")
    told = len(bench.watch.standing_for)
    bench.rebuilt()
    bench.known.add("must")
    bench.rows_thread.submit(1, lambda: time.sleep(0.05))
    stepping = asyncio.create_task(bench.run.take(_block(0, b"must")))
    await asyncio.sleep(0)
    with capture_logs() as logs:
        await bench.run.close(1.0)
        await stepping
    assert (logs, bench.processor.stepped, len(bench.watch.standing_for)) == ([], [], told)
    assert bench.faults.standing


async def test_a_version_that_cannot_be_made_ready_is_asked_for_again_with_growing_delay(bench: _Bench) -> None:
    bench.fault = OSError("no space left")
    with capture_logs() as logs:
        for _ in range(4):
            assert await _attempt(bench, b"a", b"new", b"b")
    assert bench.rebuilds[-1] > bench.rebuilds[-2] > bench.rebuilds[-3]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "partition stands still and tries again"
    ]
    assert "no space left" in bench.watch.standing_for[-1]
    bench.fault = None
    bench.providing.set()
    await _attempt(bench, b"a", b"new", b"b")
    await bench.flushed()
    assert bench.watch.standing_for[-1] == ""
    assert bench.transactions.values("out") == [b"a", b"new", b"b"]


async def test_a_flush_that_fails_again_and_again_is_tried_at_growing_intervals(bench: _Bench) -> None:
    bench.transactions.fault = ConnectionError("away")
    for _ in range(4):
        await bench.run.take(_block(0, b"a"))
        await bench.flushed()
        await bench.run.close(1.0)
        bench.rebuilt()
    assert bench.rebuilds == sorted(bench.rebuilds)
    assert bench.rebuilds[-1] >= 4 * bench.rebuilds[0]


async def test_a_block_fetched_before_a_seek_is_dropped_and_sought_again(bench: _Bench) -> None:
    await bench.run.take(_block(5, b"f"))
    assert bench.source.sought == [0]
    assert bench.processor.stepped == []


async def test_after_a_loss_to_retention_stepping_goes_on_behind_it(bench: _Bench) -> None:
    bench.source.first = 5
    await bench.run.take(_block(5, b"f"))
    assert bench.processor.stepped == [b"f"]
    assert bench.run.rows.position == 6
    assert bench.watch.gone == 5


async def test_a_loss_to_retention_is_counted_once_although_the_first_block_lies_behind_it(bench: _Bench) -> None:
    bench.source.first = 5
    await bench.run.take(_block(8, b"i"))
    assert bench.source.sought == [5]
    await bench.run.take(_block(8, b"i"))
    await bench.run.take(_block(5, b"f", b"g", b"h"))
    await bench.run.take(_block(8, b"i"))
    assert bench.processor.stepped == [b"f", b"g", b"h", b"i"]
    assert bench.watch.gone == 5


async def test_what_has_arrived_is_stepped_although_retention_deleted_it_meanwhile(bench: _Bench) -> None:
    bench.source.first = 7
    await bench.run.take(_block(5, b"f", b"g", b"h"))
    assert bench.processor.stepped == [b"f", b"g", b"h"]
    assert bench.watch.gone == 5


async def test_a_partition_that_is_released_while_the_start_of_the_input_is_asked_steps_no_more(bench: _Bench) -> None:
    bench.source.first = 5
    bench.source.answering.clear()
    taking = asyncio.create_task(bench.run.take(_block(5, b"f")))
    await asyncio.sleep(0.01)
    await bench.run.close(1.0)
    bench.source.answering.set()
    await taking
    assert (bench.processor.stepped, bench.watch.gone, bench.source.sought) == ([], 0, [])


async def test_blocks_that_arrive_during_the_seek_after_catching_up_are_read_again_and_not_kept(bench: _Bench) -> None:
    bench.transactions.gate.clear()
    await bench.run.take(_block(0, b"a", b"b"))
    await bench.flushed()
    await bench.run.take(_block(2, b"c", b"d"))
    await bench.run.take(_block(4, b"e"))
    bench.source.seeking = lambda: bench.run.take(_block(5, b"f"))
    bench.transactions.gate.set()
    await asyncio.sleep(0.1)
    assert (bench.source.sought, bench.source.paused) == ([5], set())
    assert not bench.run._backlog  # noqa: SLF001 - it would be held until the next time
    await bench.flushed()
    await bench.run.take(_block(5, b"f"))
    assert bench.processor.stepped == [b"a", b"b", b"c", b"d", b"e", b"f"]


async def test_a_partition_whose_catching_up_fails_is_built_anew(bench: _Bench) -> None:
    bench.transactions.gate.clear()
    await bench.run.take(_block(0, b"a", b"b"))
    await bench.flushed()
    await bench.run.take(_block(2, b"c", b"d"))
    await bench.run.take(_block(4, b"e"))
    bench.source.fault = RuntimeError("unforeseen")
    bench.transactions.gate.set()
    await asyncio.sleep(0.1)
    assert len(bench.rebuilds) == 1


async def test_an_input_that_lost_its_end_is_opened_anew_and_not_waited_for(bench: _Bench) -> None:
    bench.source.last = 3
    await bench.run.take(_block(0, b"a", b"b", b"c"))
    bench.source.last = 1
    await bench.run.take(_block(0, b"z"))
    assert len(bench.rebuilds) == 1
    assert bench.processor.stepped == [b"a", b"b", b"c"]


async def test_the_end_of_a_step_is_told_well_or_not_and_also_when_the_partition_was_released(bench: _Bench) -> None:
    await bench.run.take(_block(0, b"a", b"x"))
    assert bench.watch.steps == ["stepping", "stepped"]
    bench.rebuilt()
    stepping = asyncio.create_task(bench.run.take(_block(0, b"slow")))
    await asyncio.sleep(0.05)
    await bench.run.close(0.05)
    assert bench.watch.steps[2:] == ["stepping"]
    await stepping
    assert bench.watch.steps[2:] == ["stepping", "stepped"]


async def test_a_partition_waits_for_what_its_processor_wants_and_holds_up_no_other(bench: _Bench) -> None:
    began_s = time.monotonic()
    await bench.run.take(_block(0, b"a", b"new", b"b"))
    await bench.run.take(_block(3, b"c"))
    assert time.monotonic() - began_s < 0.1, "the agent must be free for other partitions"
    await bench.flushed()
    assert bench.processor.stepped == [b"a"]
    assert (bench.source.paused, bench.run.rows.position) == ({0}, 1)
    assert bench.transactions.committed[-1][1] == 1, "what came before is committed meanwhile"
    bench.providing.set()
    await asyncio.sleep(0.1)
    assert bench.processor.stepped == [b"a", b"new", b"b", b"c"]
    assert (bench.source.paused, bench.source.sought) == (set(), [4])


async def test_a_partition_that_waits_can_be_given_up(bench: _Bench) -> None:
    await bench.run.take(_block(0, b"a", b"new", b"b"))
    kept = await bench.run.close(1.0)
    assert kept is not None
    assert (kept.position, kept.flushed) == (1, 1)
    assert bench.processor.stepped == [b"a"]


async def test_a_block_that_waits_for_something_outside_holds_no_other_partition_up(bench: _Bench) -> None:
    bench.processor.may_wait = True
    began_s = time.monotonic()
    await bench.run.take(_block(0, b"a", b"outside", b"b"))
    assert time.monotonic() - began_s < 0.2
    assert bench.source.paused == {0}
    await bench.in_thread(1, lambda: None)
    assert time.monotonic() - began_s < 0.25
    await bench.run.take(_block(3, b"c"))
    async with asyncio.timeout(2):
        while bench.source.paused:  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(0.01)
    assert bench.processor.stepped == [b"a", b"outside", b"b", b"c"]
    assert bench.source.sought == [4]
    assert bench.watch.steps[-1] == "stepped"
    await bench.flushed()
    assert bench.transactions.values("out") == [b"a", b"outside", b"b", b"c"]


async def test_a_partition_that_is_given_up_while_a_step_waits_flushes_that_step(bench: _Bench) -> None:
    bench.processor.may_wait = True
    await bench.run.take(_block(0, b"outside", b"b"))
    assert await bench.run.close(2.0) is not None
    assert bench.transactions.values("out") == [b"outside", b"b"]


async def test_what_waits_is_not_marked_as_being_stepped(bench: _Bench) -> None:
    bench.processor.may_wait = True
    await bench.run.take(_block(0, b"outside"))
    assert bench.watch.steps == ["stepping", "stepped"]
    await bench.in_thread(0, lambda: None)
    assert bench.watch.steps == ["stepping", "stepped", "stepping", "stepped"]
