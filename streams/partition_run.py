"""One owned partition from the end of its restore to its release: takes blocks, steps them, flushes, lets go."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from schemas.clock import SystemClock
from streams.block import Block
from streams.faults import Faults
from streams.options import EngineOptions
from streams.packing import PackedBatch
from streams.partition import PartitionRows, Snapshot
from streams.processor import NotNowError, Observer
from streams.rows_thread import telling
from streams.source import Source
from streams.transaction import PartitionTransactions, Place

log = structlog.get_logger(__name__)


_LOOK_S = 0.03
"""How soon a block that waits for something outside is put aside."""


class _UntouchedError(Exception):
    """A part can't be stepped now; rows are what they were."""


class State(Enum):
    """Where a partition is in its life here."""

    RUNNING = "running"
    BROKEN = "broken"
    """Rows can't be trusted: blocks are dropped, the rebuild reads them again."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Host:
    """What a partition uses of the engine.

    Attributes:
        in_thread: Runs work on a partition's rows in the thread that owns all rows, in the order of the calls.
        wake: Has the flusher look at once.
        broken: Told when the partition must be rebuilt, and after how many seconds.
        provide: Makes ready what a processor wants, however long it takes.
    """

    options: EngineOptions
    observer: Observer
    source: Source
    in_thread: Callable[[int, Callable[[], Any]], Awaitable[Any]]
    wake: Callable[[], None]
    broken: Callable[["PartitionRun", float], None]
    provide: Callable[[str], Awaitable[None]]


class PartitionRun:
    """Steps and flushes one partition. All methods belong to the event loop's thread.

    Attributes:
        rows: What is stepped.
    """

    def __init__(self, rows: PartitionRows, transactions: PartitionTransactions, faults: Faults, host: Host) -> None:
        self.rows = rows
        self._transactions = transactions
        self._faults = faults
        self._host = host
        self._policy = host.options.flush
        self._state = State.RUNNING
        # The former owner told the group lately, and a flush that has something to write can tell it as well.
        rows.told_s = time.monotonic()
        self._flush: asyncio.Task[None] | None = None
        self._backlog: deque[Block] = deque()
        self._catching_up: asyncio.Task[None] | None = None
        self._wanted = ""
        self._is_not_now = False
        self._waits = False
        # Rows that were kept may know of some that are suspected no longer.
        self._suspected: Mapping[int, str] | None = None

    @property
    def number(self) -> int:
        """Partition of the input topic."""
        return self.rows.number

    @property
    def is_excused(self) -> bool:
        """Whether it stands still for a reason that is known and told; asked from any thread."""
        return bool(self._wanted or self._faults.standing)

    # -- stepping ------------------------------------------------------------------------------------------------

    async def take(self, block: Block) -> None:
        """Step a block, or put it aside so that other partitions need not wait.

        That is while the flush is far behind, or the processor waits for what it wants, or for something outside.

        Never raises: an exception would restart Faust's agent at the next block, a silent hole.
        """
        if self._state is not State.RUNNING:
            return
        stepping: asyncio.Task[None] | None = None
        if self._catching_up is None and not self._far_ahead():
            if not self.rows.processor.may_wait:
                await self._step_all(block)
            elif (stepping := await self._begun(block)) is not None:
                self._catch_up_later(stepping)
                return
            if not self._wanted and not self._is_not_now:
                return
            block = block.since(self.rows.position)
        self._backlog.append(block)
        if self._catching_up is None:
            self._catch_up_later()

    async def _begun(self, block: Block) -> asyncio.Task[None] | None:
        """Step a block, unless that waits: then the task that goes on with it."""
        stepping = asyncio.create_task(self._step_all(block), name=f"step-{self.number}")
        while not stepping.done() and not self._waits:
            await asyncio.wait([stepping], timeout=_LOOK_S)
        if not stepping.done():
            return stepping
        await stepping
        return None

    def _catch_up_later(self, stepping: asyncio.Task[None] | None = None) -> None:
        """Let other partitions' blocks come, while what was put aside is stepped."""
        self._host.source.pause(self.number)
        self._catching_up = asyncio.create_task(self._catch_up(stepping), name=f"catch-up-{self.number}")

    def _far_ahead(self) -> bool:
        """At most one flush in flight and one flush's worth behind it."""
        return self._flush is not None and self.rows.unflushed >= 2 * self._policy.records

    async def _catch_up(self, stepping: asyncio.Task[None] | None) -> None:
        """Step what was put aside, in order, behind what is being stepped; then let more come."""
        try:
            if stepping is not None:
                await stepping
            while self._backlog and self._state is State.RUNNING:
                if self._far_ahead() and self._flush is not None:
                    await asyncio.wait([self._flush])
                    continue
                if self._wanted:
                    await self._provide()
                    continue
                if self._is_not_now:
                    await asyncio.sleep(self._faults.delay_s())
                    self._is_not_now = False
                    continue
                await self._step_all(self._backlog[0])
                if not self._wanted and not self._is_not_now:
                    self._backlog.popleft()
            if self._state is State.RUNNING:
                # What was on its way when the partition was paused, Faust has dropped.
                await self._host.source.seek(self.number, self.rows.position)
                self._backlog.clear()
        except Exception as error:
            log.exception("catching up failed", partition=self.number, error=repr(error))
            self._break("catch-up")
        finally:
            self._catching_up = None
        if self._state is State.RUNNING:
            self._host.source.resume(self.number)

    async def _provide(self) -> None:
        observer, wanted = self._host.observer, self._wanted
        log.info("waiting for what the next record needs", partition=self.number, wanted=wanted)
        observer.waiting(self.number, wanted)
        try:
            await self._host.provide(wanted)
        except Exception as error:  # noqa: BLE001 - whatever it was, only what is wanted leads on
            at = self.rows.position
            self._stand(f"what the record at offset {at} needs can't be made ready: {error!r}", at)
            self._break("provide")
        else:
            self._wanted = ""
            self._stand("")
        finally:
            observer.waiting(self.number, "")

    async def _step_all(self, block: Block) -> None:
        """Step a block, up to the record before which the processor wants something."""
        rows, source = self.rows, self._host.source
        if block.start > rows.position:
            # Fetched before a seek, which brings what lies between; or retention deleted what lies between.
            await self._pass_over_what_is_lost(block.start)
            if self._state is not State.RUNNING:
                return
            if block.start > rows.position:
                await source.seek(self.number, rows.position)
                return
        elif block.start < rows.position and (source.end(self.number) or rows.position) < rows.position:
            log.error("the input ends before the position: it lost its end, or is another", partition=self.number)
            self._break("input_truncated")
            return
        for part, detail in self._faults.parts(block):
            if self._state is not State.RUNNING or self._wanted or self._is_not_now:
                break
            insists = bool(detail) and rows.processor.insists(part)
            try:
                wanted = await self._step(part, "" if insists else detail)
            except Exception as error:  # noqa: BLE001 - whatever it was, the partition is rebuilt, or waits
                self._failed(part, error, insists=insists)
                return
            self._wanted = wanted or ""
            if wanted == "" and part.end > self._faults.stands_at:
                self._stand("")
        rows.behind = source.lag(self.number, rows.position) >= self._policy.behind_records
        if rows.urgent and not rows.behind:
            self._host.wake()

    def _failed(self, part: Block, error: Exception, *, insists: bool) -> None:
        if isinstance(error, NotNowError | _UntouchedError):
            self._stand(f"the record at offset {part.start} can't be stepped now: {error}", part.start)
            self._is_not_now = isinstance(error, _UntouchedError)
            if not self._is_not_now:
                self._break("outside")
            return
        if insists:
            self._stand(f"the record at offset {part.start} can't be carried out: {error!r}", part.start)
        else:
            shown = {"start": part.start, "end": part.end, "error": repr(error)}
            log.error("block failed", partition=self.number, exc_info=error, **shown)
        self._faults.suspect(part, error)
        self._break("block")

    def _stand(self, why: str, at: int = 0) -> None:
        """Say that the partition can't go on and tries again, once in the log; `""`: it goes on."""
        if not why and not self._faults.standing:
            return
        if why and not self._faults.standing:
            log.error("partition stands still and tries again", partition=self.number, why=why)
        elif not why:
            log.info("partition goes on", partition=self.number)
        self._faults.standing, self._faults.stands_at = why, at
        self._host.observer.standing(self.number, why)

    async def _step(self, part: Block, detail: str) -> str | None:
        """Step a part, or give it up; what is wanted before it, None when the partition was let go meanwhile."""
        rows, observer, held = self.rows, self._host.observer, self._faults.held
        started_s = time.monotonic()

        def work() -> tuple[int, str | None]:
            if self._state is not State.RUNNING:
                return 0, None  # let go while this waited for the thread: the next owner steps it
            observer.stepping(rows.number, max(part.start, rows.position), part.end)
            try:
                with telling(waits, goes_on):
                    if held is not self._suspected:
                        rows.processor.suspect(held)
                        self._suspected = held
                    if not detail and not self._is_prepared():
                        return 0, None
                    return (rows.give_up(part, detail, started_s), "") if detail else rows.process(part, started_s)
            finally:
                self._waits = False
                observer.stepped(rows.number)

        def waits() -> None:
            self._waits = True
            observer.stepped(rows.number)

        def goes_on() -> None:
            self._waits = False
            observer.stepping(rows.number, max(part.start, rows.position), part.end)

        records: int
        wanted: str | None
        records, wanted = await self._host.in_thread(self.number, work)
        observer.processed(rows.number, records, time.monotonic() - started_s)
        if detail and records:
            log.error("record given up as a dead letter", partition=rows.number, offset=part.start, error=detail)
        return wanted

    def _is_prepared(self) -> bool:
        """Wait for what a step needs outside; False when the partition was let go meanwhile."""
        try:
            self.rows.processor.prepare()
        except NotNowError as error:
            raise _UntouchedError(str(error)) from error
        return self._state is State.RUNNING

    async def _pass_over_what_is_lost(self, start: int) -> None:
        """Go on behind the records before `start` that retention deleted unprocessed; they are counted."""
        position = self.rows.position
        try:
            # What has arrived is here, though it may be deleted by now.
            earliest = min(await self._host.source.earliest(self.number), start)
        except Exception as error:  # noqa: BLE001 - Kafka is away, or the partition was taken away
            log.warning("start of the input is not known", partition=self.number, error=repr(error))
            return
        if earliest <= position or self._state is not State.RUNNING:
            return
        log.error(
            "records were deleted before they were processed: retention is shorter than the outage",
            partition=self.number,
            position=position,
            earliest=earliest,
        )
        self._host.observer.lost(self.number, earliest - position)
        await self._host.in_thread(self.number, partial(self.rows.pass_over, earliest, time.monotonic()))

    # -- flushing ------------------------------------------------------------------------------------------------

    def flush_if_due(self, now_s: float, round_s: float) -> None:
        """Start a flush when one is due, at most one at a time; the latest round began at `round_s`."""
        if self._state is State.RUNNING and self._flush is None and self.rows.flush_due(self._policy, now_s, round_s):
            self._flush = asyncio.create_task(self._flush_once(), name=f"flush-{self.number}")

    async def _flush_once(self) -> None:
        try:
            await self._commit()
        except ProducerFenced:
            log.warning("fenced: another worker owns the partition now", partition=self.number)
            self._break("fenced", at_least_s=self._host.options.session_timeout_s)
        except Exception as error:  # noqa: BLE001 - any indefinite outcome: rebuild from the log
            log.warning("flush failed, rebuilding the partition", partition=self.number, error=repr(error))
            self._faults.flushes += 1
            self._break("flush")
        finally:
            self._flush = None
            self._host.wake()

    async def _commit(self, *, tells: bool = False) -> None:
        rows, observer, options = self.rows, self._host.observer, self._host.options
        started_s, running_s = time.monotonic(), SystemClock().running_s()
        tells = tells or rows.telling_due(self._policy, started_s)
        snapshot, batches = await self._host.in_thread(
            self.number, partial(_snapshot, rows, self._transactions, options.changelog, started_s)
        )
        if snapshot.routed:
            batches |= await self._transactions.addressed(snapshot.routed)
        end = await self._transactions.commit(
            batches,
            options.changelog,
            {TopicPartition(options.source, self.number): snapshot.position} if tells else {},
            options.group,
        )
        rows.flushed = snapshot.position
        if tells:
            rows.told, rows.told_s = snapshot.position, started_s
        rows.current_s = running_s
        rows.changelog_end = end + 2  # the position record and the commit marker
        self._faults.reached(snapshot.position)
        observer.flushed(self.number, len(snapshot.rows) - 1, snapshot.output_count(), time.monotonic() - started_s)
        observer.counted(snapshot.counts)
        for span in snapshot.spans:
            span.end()
        observer.position(self.number, snapshot.position, self._host.source.lag(self.number, rows.position))

    def _break(self, kind: str, *, at_least_s: float = 0.0) -> None:
        """Stop here; the engine rebuilds the partition, unless a rebalance does so first."""
        self.rows.broken = True
        if self._state is not State.RUNNING:
            return
        self._state = State.BROKEN
        self._host.observer.failed(self.number, kind)
        self._host.broken(self, max(at_least_s, self._faults.delay_s()))

    # -- letting go ----------------------------------------------------------------------------------------------

    async def close(self, timeout_s: float) -> PartitionRows | None:
        """Stop, flush and let go; what can't be flushed in time is dropped, and the next owner steps it again.

        Returns:
            The rows when the log holds all of them, so that they may be used again.
        """
        was_running, was_settled = self._state is State.RUNNING, False
        self._state = State.CLOSED
        rows = self.rows
        try:
            async with asyncio.timeout(timeout_s):
                # A step that is being worked on ends first: its outcome belongs to this flush, or to nobody.
                await self._host.in_thread(self.number, _nothing)
                if self._flush is not None:
                    await asyncio.wait([self._flush])
                was_settled = rows.settled
                if was_running and not rows.broken and (not rows.settled or (rows.told and rows.is_untold)):
                    await self._commit(tells=True)
        except Exception as error:  # noqa: BLE001 - the next owner starts from the last commit
            # Whatever became of a transaction without rows, these are what the log holds.
            rows.broken = not was_settled
            log.warning("last flush failed; the next owner repeats it", partition=self.number, error=repr(error))
        finally:
            for task in (self._catching_up, self._flush):
                if task is not None:
                    task.cancel()
            await self._transactions.close()
        return rows if rows.settled else None


def _nothing() -> None:
    """What the thread does last."""


def _snapshot(
    rows: PartitionRows, transactions: PartitionTransactions, changelog: str, now_s: float
) -> tuple[Snapshot, dict[Place, list[PackedBatch]]]:
    snapshot = rows.snapshot(now_s)
    # Outputs first: the position record is the last one written to the changelog.
    batches: dict[Place, list[PackedBatch]] = {
        topic: transactions.batches(records) for topic, records in snapshot.outputs.items()
    }
    batches[changelog] = transactions.batches(snapshot.rows)
    return snapshot, batches
