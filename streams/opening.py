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
from streams.processor import Lineage, Observer, ProcessorFactory
from streams.targets import Targets
from streams.transaction import PartitionTransactions

log = structlog.get_logger(__name__)

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

    async def open(self, number: int, kept: PartitionRows | None) -> tuple[PartitionRows, PartitionTransactions]:
        """Fence, then restore, unless rows that were kept are still what the log says.

        Raises:
            Exception: of any kind, when Kafka is away; nothing is left open.
        """
        options = self._options
        lineage = Lineage(options.cluster, await self._topic_id(), number)
        transactions = PartitionTransactions(
            options.kafka, f"{options.group}.{number}", number, options.transaction_timeout_s, self._targets
        )
        try:
            async with asyncio.timeout(_FENCE_TIMEOUT_S):
                await transactions.fence()
            async with ChangelogReader(options.kafka, options.changelog) as changelog:
                if kept is not None and await _still_holds(kept, lineage, changelog):
                    rows = kept
                else:
                    rows = await self._restore(changelog, lineage)
                rows.position = rows.flushed = self._within(rows, await changelog.end(number, options.source))
        except BaseException:
            await transactions.close()
            raise
        return rows, transactions

    async def _topic_id(self) -> str:
        """Asked every time: somebody may have made the input anew under its name."""
        source = self._options.source
        async with LogAdmin(self._options.kafka) as admin:
            found = (await admin.topic_ids([source])).get(source)
        if found is None:
            raise UnknownTopicOrPartitionError(source)
        return found

    async def _restore(self, changelog: ChangelogReader, lineage: Lineage) -> PartitionRows:
        number = lineage.partition
        before = await changelog.position(number)
        processor = await self._factory.make(lineage, before.note if before else {})
        started_s = time.monotonic()
        restored = Restored()
        async for records in changelog.rows(number, restored):
            await self._in_thread(number, partial(processor.restore, records))
        position = self._start(restored.position, lineage)
        rows = PartitionRows(lineage, processor, position, position, restored.end)

        def finish() -> None:
            rows.take(processor.restored(), started_s)

        await self._in_thread(number, finish)
        self._observer.restored(number, restored.rows, time.monotonic() - started_s)
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


async def _still_holds(kept: PartitionRows, lineage: Lineage, changelog: ChangelogReader) -> bool:
    """Whether rows that were kept are what the log says: nobody else wrote since, and the input is the same."""
    if not kept.settled or kept.lineage != lineage:
        return False
    return kept.changelog_end == await changelog.end(lineage.partition)
