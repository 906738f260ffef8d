# ruff: noqa: SLF001  # what Faust calls is private
"""The engine between assignments: partitions are opened, opened again and given up independently of each other."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from infra.roles.stuck import StuckWatchdog
from infra.supervisor.process import STUCK
from streams.assignor import Assigned
from streams.block import Block
from streams.engine import Engine
from streams.log.client import KafkaOptions
from streams.options import EngineOptions
from streams.partition import PartitionRows
from streams.processor import Lineage, SilentObserver
from streams.stillness import ASSIGNMENT, Look
from streams.warm import WarmRows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class _Observer(SilentObserver):
    """Remembers what it was told of ownership, None after everything was given up."""

    def __init__(self) -> None:
        self.now: set[int] | None = None
        self.standing_for: dict[int, str] = {}

    def standing(self, partition: int, why: str) -> None:
        self.standing_for[partition] = why

    def owned(self, partitions: frozenset[int]) -> None:
        self.now = set(partitions)

    def given_up(self) -> None:
        self.now = None


class _Source:
    """An assignment, and what was paused and sought."""

    def __init__(self, *assigned: int) -> None:
        self.here = frozenset(assigned)
        self.paused: set[int] = set()
        self.sought: list[tuple[int, int]] = []
        self.refused = False

    def is_refused(self) -> bool:
        return self.refused

    def assigned(self) -> frozenset[int]:
        return self.here

    def pause(self, partition: int) -> None:
        self.paused.add(partition)

    def resume(self, partition: int) -> None:
        self.paused.discard(partition)

    async def seek(self, partition: int, position: int) -> None:
        self.sought.append((partition, position))


class _Transactions:
    """Nothing is ever written."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class _Opener:
    """Opens at position 7; a partition of `away` fails, one of `slow` waits for `gate`.

    What is cancelled cleans up for `clean_up_s`, and then raises `dirty` if there is one.
    """

    def __init__(self) -> None:
        self.away: set[int] = set()
        self.slow: set[int] = set()
        self.tried: list[int] = []
        self.gate = asyncio.Event()
        self.clean_up_s = 0.0
        self.dirty: Exception | None = None
        self.opened: list[_Transactions] = []
        self.warm: list[tuple[int, WarmRows | None]] = []
        self.touches = False
        self.failures: dict[int, int] = {}

    async def open(
        self, number: int, warm: WarmRows | None, failures: int = 0, _attempts: Any = None
    ) -> tuple[Any, Any]:
        self.tried.append(number)
        self.failures[number] = failures
        self.warm.append((number, warm))
        if warm is not None and self.touches:
            warm.is_touched = True
        if number in self.slow:
            try:
                await self.gate.wait()
            finally:
                await asyncio.sleep(self.clean_up_s)
                if self.dirty is not None:
                    raise self.dirty
        if number in self.away:
            message = "Kafka is away"
            raise ConnectionError(message)
        processor: Any = _Processor()
        self.opened.append(_Transactions())
        return PartitionRows(Lineage("cluster", "topic", number), processor, 7, 7, 0), self.opened[-1]


class _Processor:
    """Rows that nobody asks for."""

    size_bytes = 0

    def note(self) -> dict[str, str]:
        return {}


@pytest.fixture
def observer() -> _Observer:
    return _Observer()


@pytest.fixture
def engine(tmp_path: Path, observer: _Observer) -> Any:
    options = EngineOptions(
        KafkaOptions("127.0.0.1:1"),
        "group",
        "source",
        "changelog",
        "cluster",
        tmp_path,
        session_timeout_s=3.0,
    )
    factory: Any = SimpleNamespace(provide=None)
    made: Any = Engine(options, factory, observer)
    made._opener = _Opener()
    made._source = _Source(0, 1)
    return made


async def test_a_partition_that_cannot_be_opened_holds_up_no_other_and_joins_when_it_can(
    engine: Any, observer: _Observer
) -> None:
    engine._opener.away = {1}
    await asyncio.wait_for(engine._on_rebalance_complete(), 1)
    assert (observer.now, engine.positions(), engine._source.paused) == ({0}, {0: 7}, {1})
    assert "Kafka is away" in observer.standing_for[1]
    engine._opener.away.clear()
    await asyncio.sleep(0.5)
    assert (observer.now, engine.positions(), engine._source.paused) == ({0, 1}, {0: 7, 1: 7}, set())
    assert observer.standing_for == {0: "", 1: ""}
    assert engine._source.sought == [(1, 7)], "the other one is sought by Faust, after the assignment's handler"


async def test_partitions_are_asked_for_flushes_in_common_rounds_between_them_and_when_somebody_waits(
    engine: Any,
) -> None:
    asked: dict[int, list[tuple[float, float]]] = {0: [], 1: []}

    def run(number: int) -> Any:
        return SimpleNamespace(flush_if_due=lambda now_s, round_s: asked[number].append((now_s, round_s)))

    engine._runs = {number: run(number) for number in asked}
    began_s = time.monotonic()
    flusher = asyncio.create_task(engine._flusher())
    await asyncio.sleep(1.0)
    before = len(asked[0])
    engine._wake.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asked[0]) == before + 1, "who waits does not wait for a round"
    flusher.cancel()
    lasted_s = time.monotonic() - began_s
    assert asked[0] == asked[1]
    rounds = sorted({round_s for _, round_s in asked[0]})
    policy = engine._options.flush
    assert 3 <= len(rounds) <= lasted_s / policy.interval_s + 2
    assert all(later - earlier >= policy.interval_s for earlier, later in pairwise(rounds[1:]))
    assert len(asked[0]) <= 2 * lasted_s / policy.interval_s + lasted_s / policy.urgent_interval_s
    assert before > len(rounds) + 2, "what falls due between rounds is seen"


async def test_an_opening_ends_when_its_partition_is_taken_away(engine: Any, observer: _Observer) -> None:
    engine._opener.slow = {1}
    assigning = asyncio.create_task(engine._on_rebalance_complete())
    await asyncio.sleep(0.05)
    await asyncio.wait_for(engine._on_partitions_revoked(), 1)
    await asyncio.wait_for(assigning, 1)
    assert (engine.positions(), observer.now, engine._openings) == ({}, None, {})


async def test_a_partition_that_takes_long_to_open_holds_up_no_other_and_joins_later(
    engine: Any, observer: _Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.engine.OPENING_PATIENCE_S", 0.1)
    engine._opener.slow = {1}
    await asyncio.wait_for(engine._on_rebalance_complete(), 1)
    assert (observer.now, engine._source.paused) == ({0}, set())
    await engine._take(Block.of_records(1, [(3, 0, b"k", b"v", ())]))
    assert engine._source.paused == {1}, "Faust resumed it with the others"
    engine._opener.gate.set()
    await asyncio.sleep(0.05)
    assert (observer.now, engine._source.sought, engine._source.paused) == ({0, 1}, [(1, 7)], set())


async def test_an_opening_whose_clean_up_takes_long_does_not_stand_in_the_way_of_the_next(
    engine: Any, observer: _Observer
) -> None:
    engine._opener.slow, engine._opener.clean_up_s = {1}, 1.5  # longer than a third of the session
    assigning = asyncio.create_task(engine._on_rebalance_complete())
    await asyncio.sleep(0.05)
    await engine._on_partitions_revoked()
    engine._opener.slow = set()
    await asyncio.wait_for(engine._on_rebalance_complete(), 1)
    assert (observer.now, engine.positions()) == ({0, 1}, {0: 7, 1: 7})
    await assigning
    await asyncio.sleep(1)
    assert (observer.now, engine.positions()) == ({0, 1}, {0: 7, 1: 7})


async def test_an_opening_whose_clean_up_fails_does_not_go_on_after_the_revocation(engine: Any) -> None:
    engine._opener.slow, engine._opener.dirty = {1}, RuntimeError("clean-up")
    assigning = asyncio.create_task(engine._on_rebalance_complete())
    await asyncio.sleep(0.05)
    await engine._on_partitions_revoked()
    engine._opener.slow = set()
    await assigning
    await asyncio.sleep(0.5)
    assert (engine._opener.tried, engine.positions()) == ([0, 1], {})


async def test_what_an_opening_gives_after_the_revocation_all_the_same_is_closed(engine: Any) -> None:
    engine._opener.slow = {1}

    async def stubborn(number: int, kept: WarmRows | None, _failures: int, _attempts: Any) -> tuple[Any, Any]:
        try:
            return await opened(number, kept)
        except asyncio.CancelledError:
            engine._opener.slow = set()
            return await opened(number, kept)

    opened: Callable[..., Awaitable[tuple[Any, Any]]] = engine._opener.open
    engine._opener.open = stubborn
    assigning = asyncio.create_task(engine._on_rebalance_complete())
    await asyncio.sleep(0.05)
    await engine._on_partitions_revoked()
    await assigning
    assert engine.positions() == {}
    assert [transactions.closed for transactions in engine._opener.opened] == [True, True]


async def test_an_opening_that_fails_in_an_unforeseen_way_starts_again(engine: Any, observer: _Observer) -> None:
    assigned = engine._source.assigned
    answers = [RuntimeError("unforeseen")]

    def odd() -> frozenset[int]:
        if len(engine._opener.tried) == 1 and answers:
            raise answers.pop()
        found: frozenset[int] = assigned()
        return found

    engine._source.assigned = odd
    await asyncio.wait_for(engine._on_rebalance_complete(), 1)
    assert not answers
    await asyncio.sleep(0.5)
    assert (observer.now, engine._source.sought, engine._source.paused) == ({0, 1}, [(1, 7)], set())


async def test_a_partition_that_breaks_is_opened_again_at_the_logs_position(engine: Any, observer: _Observer) -> None:
    await engine._on_rebalance_complete()
    engine._runs[0]._break("test")
    assert engine.positions() == {1: 7}
    await asyncio.sleep(0.5)
    assert (observer.now, engine._source.sought, engine._source.paused) == ({0, 1}, [(0, 7)], set())


async def test_a_partition_s_transactions_get_more_time_for_those_that_failed_and_nothing_else(engine: Any) -> None:
    engine._faults[0].count, engine._faults[1].count, engine._faults[1].flushes = 9, 9, 2
    await engine._on_rebalance_complete()
    assert engine._opener.failures == {0: 0, 1: 2}
    await engine._on_partitions_revoked()


async def test_a_partition_that_is_being_given_up_does_not_break_and_open_again(engine: Any) -> None:
    engine._opener.slow, engine._opener.clean_up_s = {1}, 0.3
    assigning = asyncio.create_task(engine._on_rebalance_complete())
    await asyncio.sleep(0.05)
    run = engine._runs[0]
    revoking = asyncio.create_task(engine._on_partitions_revoked())
    await asyncio.sleep(0.05)
    run._break("flush")
    await asyncio.gather(assigning, revoking)
    await asyncio.sleep(0.3)
    assert engine._opener.tried == [0, 1]
    assert engine._openings == {}
    assert run.rows.broken


async def test_rows_that_were_let_go_are_used_by_the_next_opening_here(engine: Any) -> None:
    await engine._on_rebalance_complete()
    rows = {number: run.rows for number, run in engine._runs.items()}
    await engine._on_partitions_revoked()
    assert engine._warm_here() == {0, 1}, "what the group is told"
    await engine._on_rebalance_complete()
    again = dict(engine._opener.warm[2:])
    assert {number: warm.processor for number, warm in again.items()} == {
        number: found.processor for number, found in rows.items()
    }
    assert engine._warm_here() == set()


async def test_rows_that_broke_are_not_kept(engine: Any) -> None:
    await engine._on_rebalance_complete()
    engine._runs[0].rows.broken = True
    await engine._on_partitions_revoked()
    assert engine._warm_here() == {1}


async def test_an_opening_that_is_cut_short_gives_its_warm_rows_to_the_next(engine: Any) -> None:
    await engine._on_rebalance_complete()
    await engine._on_partitions_revoked()
    engine._opener.slow, engine._opener.touches = {0, 1}, True
    assigning = asyncio.create_task(engine._on_rebalance_complete())
    await asyncio.sleep(0.05)
    first = dict(engine._opener.warm[2:])
    await engine._on_partitions_revoked()
    await assigning
    assert engine._warm_here() == {0, 1}
    engine._opener.slow = set()
    await engine._on_rebalance_complete()
    assert dict(engine._opener.warm[4:]) == first


async def test_rows_that_an_opening_threw_away_are_not_kept_for_the_next(engine: Any) -> None:
    await engine._on_rebalance_complete()
    await engine._on_partitions_revoked()
    engine._opener.slow = {0, 1}
    assigning = asyncio.create_task(engine._on_rebalance_complete())
    await asyncio.sleep(0.05)
    dict(engine._opener.warm[2:])[0].throw_away()
    await engine._on_partitions_revoked()
    await assigning
    assert engine._warm_here() == {1}


@pytest.mark.parametrize("touches", [False, True])
async def test_an_opening_that_fails_on_warm_rows_throws_them_away_once_it_touched_them(
    engine: Any, *, touches: bool
) -> None:
    await engine._on_rebalance_complete()
    await engine._on_partitions_revoked()
    engine._opener.away, engine._opener.touches = {0}, touches
    await engine._on_rebalance_complete()
    engine._opener.away = set()
    await asyncio.sleep(0.5)
    first, second = (warm for number, warm in engine._opener.warm[2:] if number == 0)
    assert first is not None
    assert second is (None if touches else first)
    assert engine.positions() == {0: 7, 1: 7}


async def test_what_was_broken_while_it_ran_is_rebuilt_from_the_log_alone(engine: Any) -> None:
    await engine._on_rebalance_complete()
    engine._runs[0]._break("test")
    await asyncio.sleep(0.5)
    assert engine._opener.warm[2:] == [(0, None)]


async def test_a_partition_that_goes_elsewhere_stays_warm_here_only_if_the_group_wants_that(engine: Any) -> None:
    given: list[tuple[set[int], set[int], set[int]]] = []

    class _Standby:
        warm: frozenset[int] = frozenset()

        async def take(self, _number: int) -> None: ...

        def keep(self, wanted: frozenset[int], awaited: frozenset[int], warm: dict[int, WarmRows]) -> None:
            given.append((set(wanted), set(awaited), set(warm) & wanted))

    engine._standby = _Standby()
    await engine._on_rebalance_complete()
    await engine._on_partitions_revoked()
    engine._source.here = frozenset()
    engine._assignor.assigned = Assigned(2, standby=frozenset({1, 2}), awaited=frozenset({2}))
    await engine._on_rebalance_complete()
    assert given[1] == ({1, 2}, {2}, {1})
    assert engine._warm_here() == set(), "they are the standby's now, or nobody's"


async def test_an_assignment_is_looked_at_from_the_beginning_to_the_end_and_from_the_revocation_on(engine: Any) -> None:
    assert engine.seen() == {ASSIGNMENT: Look(ASSIGNMENT, 0)}
    engine._opener.slow = {0, 1}
    assigning = asyncio.create_task(engine._on_rebalance_complete())
    await asyncio.sleep(0.05)
    assert engine.seen() == {ASSIGNMENT: Look(ASSIGNMENT, 0), 0: Look(0, 1), 1: Look(0, 1)}, "nobody is excused"
    engine._opener.gate.set()
    await assigning
    assert engine.seen() == {0: Look(7), 1: Look(7)}
    await engine._on_partitions_revoked()
    assert engine.seen() == {ASSIGNMENT: Look(ASSIGNMENT, 1)}


async def test_a_worker_that_can_not_join_its_group_is_excused_and_one_that_hangs_after_it_is_not(engine: Any) -> None:
    engine._source.refused = True
    assert engine.seen() == {ASSIGNMENT: Look(ASSIGNMENT, 0, excused=True)}
    await engine._on_rebalance_complete()
    assert engine.seen() == {0: Look(7), 1: Look(7)}, "what it has it answers for"
    await engine._on_partitions_revoked()
    engine._source.refused = False
    assert engine.seen() == {ASSIGNMENT: Look(ASSIGNMENT, 1)}


async def test_an_opening_is_excused_between_two_attempts_only(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.faults.FIRST_DELAY_S", 5.0)
    engine._opener.away = {0}
    await engine._on_rebalance_complete()
    seen = engine.seen()
    assert (seen[0].excused, seen[1].excused) == (True, False)
    await engine._on_partitions_revoked()


class _Endless:
    """An engine whose watchdog is looked at: what it sees never changes."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.codes: list[int] = []
        self.end_offset = 10

    def watchdog(self, monkeypatch: pytest.MonkeyPatch) -> StuckWatchdog:
        made = StuckWatchdog(KafkaOptions("127.0.0.1:1"), "source", self.engine.seen, 0.3, self.codes.append)

        def ends() -> dict[int, int]:
            self.end_offset += 1
            return {0: 7, 1: self.end_offset}

        monkeypatch.setattr(made, "_ends", ends)
        return made


@pytest.mark.parametrize("where", ["opening", "standby", "first"])
async def test_a_worker_that_hangs_in_an_assignment_is_ended_by_the_watchdog(
    engine: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = _Endless(engine)
    if where == "opening":
        monkeypatch.setattr("streams.engine.OPENING_PATIENCE_S", 0.05)
        engine._opener.slow = {1}
        await engine._on_rebalance_complete()
    elif where == "standby":
        engine._standby = SimpleNamespace(take=lambda _: asyncio.Event().wait(), warm=frozenset())
    hanging = asyncio.create_task(engine._on_rebalance_complete()) if where == "standby" else None
    with endless.watchdog(monkeypatch):
        async with asyncio.timeout(5):
            while not endless.codes:  # noqa: ASYNC110 - a thread ends it
                await asyncio.sleep(0.02)
    assert endless.codes == [STUCK]
    if hanging is not None:
        hanging.cancel()
    await engine._on_partitions_revoked()
