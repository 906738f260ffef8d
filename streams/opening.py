"""Taking a partition over: fence whoever had it, read its rows back, find where to go on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from aiokafka.errors import UnknownTopicOrPartitionError

from schemas.clock import Clock, SystemClock
from streams.changelog import ChangelogReader, Position, Restored
from streams.log.admin import LogAdmin
from streams.options import EngineOptions
from streams.partition import PartitionRows
from streams.processor import Lineage, Observer, Processor, ProcessorFactory
from streams.targets import Targets
from streams.transaction import PartitionTransactions
from streams.warm import WarmRows

log = structlog.get_logger(__name__)

_LONGEST_TRANSACTION_S = 60.0
_DOUBLINGS = 10
_FENCE_TIMEOUT_S = 30.0
"""aiokafka would wait for a coordinator without end."""


@dataclass(slots=True)
class Attempts:
    """How the attempts to open a partition get on; asked from any thread.

    Attributes:
        steps: Counts what was done.
        is_excused: They wait for a version, or for the next attempt, which is told.
    """

    steps: int = 0
    is_excused: bool = False

    @contextmanager
    def excused(self) -> Iterator[None]:
        """Surrounds waiting that is told."""
        self.is_excused = True
        try:
            yield
        finally:
            self.is_excused = False
            self.steps += 1


class Opener:
    """Opens partitions of one engine.

    Args:
        in_thread: Runs work on a partition's rows in the thread that owns all rows.
        clock: Tells how old rows are; the host's, if none is given.
    """

    def __init__(
        self,
        options: EngineOptions,
        factory: ProcessorFactory,
        observer: Observer,
        in_thread: Callable[[int, Callable[[], object]], Awaitable[object]],
        clock: Clock | None = None,
    ) -> None:
        self._options = options
        self._factory = factory
        self._observer = observer
        self._in_thread = in_thread
        self._clock = clock or SystemClock()
        self._targets = Targets(options)

    async def open(
        self, number: int, warm: WarmRows | None, failures: int = 0, attempts: Attempts | None = None
    ) -> tuple[PartitionRows, PartitionTransactions]:
        """Fence, then restore: the end of the changelog alone where rows are warm, all of it otherwise.

        Args:
            number: Of the partition.
            warm: Its rows as they were earlier; used up once they are touched.
            failures: Of transactions since the partition last got on: they get more time, in case that is what they
                lack.
            attempts: Told how it gets on.

        Raises:
            Exception: of any kind, when Kafka is away; nothing is left open.
        """
        options, attempts = self._options, attempts or Attempts()
        topic_id, changelog_id = await self._topic_ids()
        lineage = Lineage(options.cluster, topic_id, number)
        transactions = PartitionTransactions(
            options.kafka,
            f"{options.group}.{number}",
            number,
            min(options.transaction_timeout_s * 2.0 ** min(failures, _DOUBLINGS), _LONGEST_TRANSACTION_S),
            self._targets,
        )
        try:
            async with asyncio.timeout(_FENCE_TIMEOUT_S):
                await transactions.fence()
            fenced_s = self._clock.running_s()
            attempts.steps += 1
            async with ChangelogReader(options.kafka, options.changelog) as changelog:
                rows = await self._brought_up(changelog, warm, lineage, changelog_id, attempts) if warm else None
                if rows is None:
                    if warm is not None:
                        warm.throw_away()
                    rows = await self._restore(changelog, lineage, attempts)
                rows.changelog_id, rows.current_s = changelog_id, fenced_s
                rows.position = rows.flushed = self._within(rows, await changelog.end(number, options.source))
        except BaseException:
            await transactions.close()
            raise
        return rows, transactions

    async def _topic_ids(self) -> tuple[str, str]:
        """Of input and changelog; asked every time: somebody may have made one of them anew under its name."""
        wanted = (self._options.source, self._options.changelog)
        async with LogAdmin(self._options.kafka) as admin:
            found = await admin.topic_ids(wanted)
        if missing := [topic for topic in wanted if topic not in found]:
            raise UnknownTopicOrPartitionError(missing[0])
        return found[wanted[0]], found[wanted[1]]

    async def _restore(self, changelog: ChangelogReader, lineage: Lineage, attempts: Attempts) -> PartitionRows:
        """Read all rows back."""
        before = await changelog.position(lineage.partition)
        with attempts.excused():
            processor = await self._factory.make(lineage, before.note if before else {})
        return await self._read(changelog, lineage, processor, Restored(), self._clock.running_s(), attempts)

    async def _brought_up(
        self, changelog: ChangelogReader, warm: WarmRows, lineage: Lineage, changelog_id: str, attempts: Attempts
    ) -> PartitionRows | None:
        """Read what was written after warm rows; None when they are of no use: of another topic or version, or old."""
        number = lineage.partition
        if (warm.lineage, warm.changelog_id) != (lineage, changelog_id):
            return None
        end = await changelog.end(number)
        if not await changelog.beginning(number) <= warm.at <= end:
            return None
        if warm.at < end and warm.is_outdated(self._clock.running_s(), self._options.rows_age_s):
            log.warning("rows are so old that the changelog may have forgotten deletions: read anew", partition=number)
            return None
        latest = await changelog.position(number)
        if not warm.fits(latest):
            return None
        if warm.is_ready and warm.at == end:
            position = self._start(warm.position, lineage)
            self._observer.restored(number, 0, 0.0, warm=True)
            return PartitionRows(lineage, warm.processor, position, position, end)
        warm.is_ready, warm.is_touched = False, True
        restored = Restored(warm.position)
        return await self._read(changelog, lineage, warm.processor, restored, warm.current_s, attempts, warm.at)

    async def _read(
        self,
        changelog: ChangelogReader,
        lineage: Lineage,
        processor: Processor,
        restored: Restored,
        current_s: float,
        attempts: Attempts,
        start: int | None = None,
    ) -> PartitionRows:
        """Read rows from `start` on, None for the first, to the changelog's end.

        Args:
            changelog: To be read.
            lineage: Of the partition.
            processor: Takes the rows in.
            restored: Told how far it is.
            current_s: When all that the changelog had before `start` was known here.
            attempts: Told that it gets on.
            start: First offset to read.
        """
        number = lineage.partition
        started_s = time.monotonic()
        async for records in changelog.rows(number, restored, start):
            await self._in_thread(number, partial(processor.restore, records))
            attempts.steps += 1
            self._observer.restoring(number, restored.at - restored.begin, restored.end - restored.begin)
        if restored.rows and self._clock.running_s() - current_s > self._options.rows_age_s:
            message = "reading took so long that the changelog may have forgotten meanwhile what was deleted"
            raise TimeoutError(message)
        position = self._start(restored.position, lineage)
        rows = PartitionRows(lineage, processor, position, position, restored.end)

        def finish() -> None:
            rows.take(processor.restored(), started_s)

        await self._in_thread(number, finish)
        self._observer.restored(number, restored.rows, time.monotonic() - started_s, warm=start is not None)
        return rows

    def _start(self, position: Position | None, lineage: Lineage) -> int:
        """Where to go on; at the beginning when the input is another one than the rows were made from."""
        if position is None:
            return 0
        if (position.cluster, position.topic_id) == (lineage.cluster, lineage.topic_id):
            return position.offset
        log.error(
            "the input topic is not the one these rows were made from: it is read from its beginning, on top of them",
            partition=lineage.partition,
            topic_id=lineage.topic_id,
            rows_made_from=position.topic_id,
            other_cluster=position.cluster != lineage.cluster,
        )
        self._observer.failed(lineage.partition, "input_replaced")
        return 0

    def _within(self, rows: PartitionRows, end: int) -> int:
        """The position, unless the input ends before it: then what comes next must not be passed over."""
        if rows.position <= end:
            return rows.position
        log.error(
            "the input ends before the position: its end was lost, and is read again from there",
            partition=rows.number,
            position=rows.position,
            end=end,
        )
        self._observer.failed(rows.number, "input_truncated")
        return end
