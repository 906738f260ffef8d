"""Taking a partition over: fence whoever had it, read its rows back, find where to go on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from aiokafka.errors import UnknownTopicOrPartitionError

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


class Opener:
    """Opens partitions of one engine.

    Args:
        in_thread: Runs work on a partition's rows in the thread that owns all rows.
    """

    def __init__(
        self,
        options: EngineOptions,
        factory: ProcessorFactory,
        observer: Observer,
        in_thread: Callable[[int, Callable[[], object]], Awaitable[object]],
    ) -> None:
        self._options = options
        self._factory = factory
        self._observer = observer
        self._in_thread = in_thread
        self._targets = Targets(options)

    async def open(
        self, number: int, warm: WarmRows | None, failures: int = 0
    ) -> tuple[PartitionRows, PartitionTransactions]:
        """Fence, then restore: the end of the changelog alone where rows are warm, all of it otherwise.

        Args:
            number: Of the partition.
            warm: Its rows as they were earlier; used up once they are touched.
            failures: Since the partition last got on: its transactions get more time, in case that is what they lack.

        Raises:
            Exception: of any kind, when Kafka is away; nothing is left open.
        """
        options = self._options
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
            async with ChangelogReader(options.kafka, options.changelog) as changelog:
                rows = await self._brought_up(changelog, warm, lineage, changelog_id) if warm is not None else None
                if rows is None:
                    rows = await self._restore(changelog, lineage)
                rows.changelog_id = changelog_id
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

    async def _restore(self, changelog: ChangelogReader, lineage: Lineage) -> PartitionRows:
        """Read all rows back."""
        before = await changelog.position(lineage.partition)
        processor = await self._factory.make(lineage, before.note if before else {})
        return await self._read(changelog, lineage, processor, Restored())

    async def _brought_up(
        self, changelog: ChangelogReader, warm: WarmRows, lineage: Lineage, changelog_id: str
    ) -> PartitionRows | None:
        """Read what was written after warm rows; None when they are of no use: another topic, log, or version."""
        number = lineage.partition
        if (warm.lineage, warm.changelog_id) != (lineage, changelog_id):
            return None
        end = await changelog.end(number)
        if not await changelog.beginning(number) <= warm.at <= end:
            return None
        latest = await changelog.position(number)
        if not warm.fits(latest):
            return None
        if warm.is_ready and warm.at == end:
            position = self._start(warm.position, lineage)
            self._observer.restored(number, 0, 0.0, warm=True)
            return PartitionRows(lineage, warm.processor, position, position, end)
        warm.is_ready, warm.is_touched = False, True
        return await self._read(changelog, lineage, warm.processor, Restored(warm.position), warm.at)

    async def _read(
        self,
        changelog: ChangelogReader,
        lineage: Lineage,
        processor: Processor,
        restored: Restored,
        start: int | None = None,
    ) -> PartitionRows:
        """Read rows from `start` on, None for the first, to the changelog's end."""
        number = lineage.partition
        started_s = time.monotonic()
        async for records in changelog.rows(number, restored, start):
            await self._in_thread(number, partial(processor.restore, records))
            self._observer.restoring(number, restored.at - restored.begin, restored.end - restored.begin)
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
