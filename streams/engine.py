"""The engine: one Faust app per twin type that steps blocks and commits them exactly once.

Per partition, in this order: fence (initialise the transactional producer), restore (rows and position from the
changelog), seek there, process. All of it in a handler of `on_rebalance_complete`, the one signal that Faust awaits
before it seeks and resumes.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from streams.assignor import WarmAssignor
from streams.block import Block
from streams.faults import Faults
from streams.faust_app import build_app
from streams.opening import Attempts, Opener
from streams.options import EngineOptions
from streams.partition import PartitionRows
from streams.partition_run import Host, PartitionRun
from streams.processor import Observer, ProcessorFactory, SilentObserver
from streams.rows_thread import RowsThread
from streams.source import Source
from streams.standby import Standby
from streams.stillness import ASSIGNMENT, Look
from streams.ticker import Ticker
from streams.transaction import PartitionTransactions
from streams.warm import WarmRows

__all__ = ["Engine", "EngineOptions"]

T = TypeVar("T")
log = structlog.get_logger(__name__)


OPENING_PATIENCE_S = 2.0
"""So long an assignment waits for partitions that take their time: those whose rows are warm go on behind it."""


@dataclass(slots=True, eq=False)
class _Opening:
    """A partition that is being opened.

    Attributes:
        generation: Of the assignment that it belongs to.
        by_itself: It seeks and resumes the partition; otherwise Faust does, after the handler of the assignment.
        tried: Set after the first attempt, whatever became of it.
        attempts: How they get on.
    """

    generation: int
    by_itself: bool
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: Attempts = field(default_factory=Attempts)
    task: asyncio.Task[None] | None = None


class Engine:
    """Hosts processors inside a Faust app. Hand `app` to Faust's worker."""

    def __init__(self, options: EngineOptions, factory: ProcessorFactory, observer: Observer | None = None) -> None:
        self._options = options
        self._observer: Observer = observer or SilentObserver()
        self._rows = RowsThread()
        self._runs: dict[int, PartitionRun] = {}
        self._kept: dict[int, WarmRows] = {}
        self._faults: dict[int, Faults] = defaultdict(Faults)
        self._openings: dict[int, _Opening] = {}
        self._reached: dict[int, int] = {}
        self._generation = 0
        self._is_dealt_out = False
        self._wake = asyncio.Event()
        self._assignor = WarmAssignor(options.source, options.standby_replicas, self._warm_here)
        self.app = build_app(options, self.positions, self._take, self._assignor)
        self._source = Source(self.app, options.source)
        self._standby = Standby(options, factory, self._observer, self._in_thread, self._source.rejoin)
        self._opener = Opener(options, factory, self._observer, self._in_thread)
        self._host = Host(
            options, self._observer, self._source, self._in_thread, self._wake.set, self._broken, factory.provide
        )
        self.app.on_rebalance_complete.connect(self._on_rebalance_complete, weak=False)
        self.app.on_partitions_revoked.connect(self._on_partitions_revoked, weak=False)
        self.app.on_before_shutdown.connect(self._on_before_shutdown, weak=False)
        self._ticker = Ticker(options.kafka, options.source, self._stepped_here, self._source.lag)
        self.app.task(self._flusher)
        self.app.task(self._tick)

    def positions(self) -> dict[int, int]:
        """Next offset to process of every partition that is open here."""
        return {number: run.rows.position for number, run in self._runs.items()}

    def seen(self) -> dict[int, Look]:
        """Every partition that was given to this worker, opened or not, and an assignment; asked from any thread."""
        looks = {}
        if not self._is_dealt_out:
            looks[ASSIGNMENT] = Look(ASSIGNMENT, self._generation, excused=self._source.is_refused())
        for number, opening in list(self._openings.items()):
            attempts = opening.attempts
            looks[number] = Look(self._reached.get(number, 0), attempts.steps, excused=attempts.is_excused)
        for number, run in list(self._runs.items()):
            self._reached[number] = run.rows.flushed
            looks[number] = Look(run.rows.flushed, excused=run.is_excused)
        return looks

    def _warm_here(self) -> frozenset[int]:
        """Partitions that could go on here at once; asked from any thread."""
        return frozenset(self._kept) | self._standby.warm

    async def _take(self, block: Block) -> None:
        run = self._runs.get(block.partition)
        if run is not None:
            await run.take(block)
        elif block.partition in self._openings:
            # Faust resumes the whole assignment, also what could not be opened yet.
            self._source.pause(block.partition)

    async def _flusher(self) -> None:
        """Start flushes as they fall due, and in each round all that have something to write."""
        policy = self._options.flush
        now_s = round_s = time.monotonic()
        while not self.app.should_stop:
            left_s = round_s + policy.interval_s - now_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(left_s, policy.urgent_interval_s))):
                    await self._wake.wait()
            self._wake.clear()
            now_s = time.monotonic()
            if now_s >= round_s + policy.interval_s:
                round_s = now_s
            for run in list(self._runs.values()):
                run.flush_if_due(now_s, round_s)

    def _stepped_here(self) -> list[PartitionRows]:
        return [run.rows for run in self._runs.values()]

    async def _tick(self) -> None:
        await self._ticker.run(lambda: self.app.should_stop)

    # -- assignment ----------------------------------------------------------------------------------------------

    async def _on_rebalance_complete(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        generation = self._generation
        assigned = self._source.assigned()
        standby = self._assignor.assigned.standby - assigned
        log.info("partitions assigned", partitions=sorted(assigned), standby=sorted(standby))
        for number in sorted(assigned - self._kept.keys()):
            if (warm := await self._standby.take(number)) is not None:
                self._kept[number] = warm
        if generation != self._generation:
            return  # what is kept, the next assignment finds
        followed = {number: warm for number, warm in self._kept.items() if number in standby}
        # What is neither stepped nor followed here is let go of before anything else is read.
        self._kept = {number: warm for number, warm in self._kept.items() if number in assigned}
        self._standby.keep(standby, self._assignor.assigned.awaited, followed)
        del followed
        openings = [self._start_opening(number, by_itself=False) for number in sorted(assigned - self._runs.keys())]
        # One that can't be opened yet must not keep the others waiting: Faust resumes them all after this.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPENING_PATIENCE_S):
                for opening in openings:
                    await opening.tried.wait()
        for opening in openings:
            opening.by_itself = True
        if generation == self._generation:
            self._is_dealt_out = True
            self._observer.owned(frozenset(self._runs))

    async def _on_partitions_revoked(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        await self._give_up_all()

    async def _on_before_shutdown(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        await self._give_up_all()
        await self._standby.close()

    def _broken(self, run: PartitionRun, delay_s: float) -> None:
        """Throw a partition's rows away and build it anew, then read again from where the log says."""
        if self._runs.get(run.number) is run:
            del self._runs[run.number]
            self._start_opening(run.number, broken=run, delay_s=delay_s)

    def _start_opening(
        self, number: int, *, by_itself: bool = True, broken: PartitionRun | None = None, delay_s: float = 0.0
    ) -> "_Opening":
        """Begin to open a partition, after letting go of a broken one and a wait."""
        opening = self._openings[number] = _Opening(self._generation, by_itself)
        opening.task = asyncio.create_task(self._open(number, opening, broken, delay_s), name=f"open-{number}")

        def ended(task: asyncio.Task[None]) -> None:
            opening.tried.set()
            if self._openings.get(number) is not opening:
                return
            del self._openings[number]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("opening a partition failed, starting it again", partition=number, error=repr(error))
                self._start_opening(number, delay_s=self._faults[number].delay_s())

        opening.task.add_done_callback(ended)
        return opening

    async def _open(self, number: int, opening: "_Opening", broken: PartitionRun | None, delay_s: float) -> None:
        """Open a partition, however often Kafka is away, unless it is taken away."""
        if opening.by_itself:
            self._source.pause(number)
        if broken is not None:
            await broken.close(self._give_up_timeout_s)
        opened = await self._opened(number, opening, delay_s)
        if opened is None:
            return
        rows, transactions = opened
        self._runs[number] = PartitionRun(rows, transactions, self._faults[number], self._host)
        self._observer.standing(number, self._faults[number].standing)
        if opening.by_itself:
            await self._source.seek(number, rows.position)
            self._source.resume(number)
            self._observer.owned(frozenset(self._runs))

    async def _opened(
        self, number: int, opening: "_Opening", delay_s: float
    ) -> tuple[PartitionRows, PartitionTransactions] | None:
        """Try to open a partition until it is; None when it was taken away."""
        warm = self._kept.pop(number, None)
        try:
            while True:
                with opening.attempts.excused():
                    await asyncio.sleep(delay_s)
                # A worker that was frozen must not fence the partition's next owner.
                if opening.generation != self._generation or number not in self._source.assigned():
                    break
                try:
                    rows, transactions = await self._opener.open(
                        number, warm, self._faults[number].flushes, opening.attempts
                    )
                except Exception as error:  # noqa: BLE001 - whatever it was, the partition is rebuilt from the log
                    log.warning("partition could not be opened, trying again", partition=number, error=repr(error))
                    self._observer.failed(number, "open")
                    self._observer.standing(number, f"it can't be opened: {error!r}")
                    delay_s = self._faults[number].delay_s()
                    opening.by_itself = True
                    self._source.pause(number)
                    opening.tried.set()
                    if warm is not None and warm.is_touched:
                        warm = None
                    continue
                if opening.generation == self._generation:
                    return rows, transactions
                await transactions.close()
                warm = WarmRows.of(rows)
                break
        except asyncio.CancelledError:
            self._keep(number, warm)
            raise
        self._keep(number, warm)
        return None

    def _keep(self, number: int, warm: WarmRows | None) -> None:
        """Keep what an opening did not come to use for the next one: taken in twice, in order, rows are the same."""
        if warm is not None and not warm.is_gone and number not in self._runs and number not in self._openings:
            self._kept[number] = warm

    async def _give_up_all(self) -> None:
        """Flush and let go of everything, each step within a third of the session timeout; the rest is dropped."""
        self._generation += 1
        self._is_dealt_out = False
        self._observer.given_up()
        runs = list(self._runs.values())
        self._runs.clear()
        tasks = [opening.task for opening in self._openings.values() if opening.task is not None]
        self._openings.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._give_up_timeout_s)
        await self._close(runs)

    async def _close(self, runs: list[PartitionRun]) -> None:
        if not runs:
            return
        log.info("partitions given up", partitions=sorted(run.number for run in runs))
        for rows in await asyncio.gather(*(run.close(self._give_up_timeout_s) for run in runs)):
            if rows is not None and (warm := WarmRows.of(rows)) is not None:
                self._kept[rows.number] = warm

    @property
    def _give_up_timeout_s(self) -> float:
        return self._options.session_timeout_s / 3

    async def _in_thread(self, partition: int, work: Callable[[], T]) -> T:
        found: T = await asyncio.wrap_future(self._rows.submit(partition, work))
        return found
