"""Following topics without a group: every reader sees everything."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Literal, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.log.client import KafkaOptions
from streams.log.fetch_pace import FetchPace
from streams.log.record import LogRecord, log_record
from streams.log.retry import is_retriable, retrying

_REFRESH_S = 1.0


class Follower:
    """Reads all partitions of topics, committed records only; new topics that match join by themselves.

    Args:
        topics: By name.
        pattern: Of further topics, matched whole.
        start: Where reading begins in topics that are there already.
        gather_s: So long records may wait for others under a steady load: each fetch costs the broker and this process
            as much as many records. Without load a fetch then ends after twice that time.
    """

    def __init__(
        self,
        options: KafkaOptions,
        *,
        topics: Iterable[str] = (),
        pattern: str = "",
        start: Literal["earliest", "latest"] = "earliest",
        gather_s: float = 0.0,
    ) -> None:
        self._options = options
        self._topics = set(topics)
        self._pattern = re.compile(pattern) if pattern else None
        self._start = start
        self._gather_s = gather_s
        self._pace = FetchPace(gather_s)
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._next_refresh_s = 0.0
        self.positions: dict[tuple[str, int], int] = {}
        """Next offset of each partition, by (topic, partition)."""

    async def __aenter__(self) -> Self:
        """Connect, waiting for the broker; remember where the topics end now."""

        async def connect() -> AIOKafkaConsumer:
            consumer = AIOKafkaConsumer(
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_partition_fetch_bytes=4 * 1024 * 1024,
                metadata_max_age_ms=2000,
                **({"fetch_max_wait_ms": round(2 * self._gather_s * 1000)} if self._gather_s else {}),
                **self._options.client_kwargs(),
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            return consumer

        self._consumer = await retrying(connect, "following")
        try:
            await retrying(lambda: self._assign(first=True), "following")
            self._ends = dict(await self._reader.end_offsets(list(self._reader.assignment())))
        except BaseException:
            await self._disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._consumer is None:
            return
        try:
            await self._consumer.stop()
        except asyncio.CancelledError:
            # aiokafka lets the cancellation of its own tasks out; only one of ours may end ours.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise

    @property
    def _reader(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            message = "use Follower in `async with`"
            raise RuntimeError(message)
        return self._consumer

    async def _assign(self, *, first: bool = False) -> None:
        """Take up partitions of topics that came into being; those of a later topic from its beginning."""
        wanted: set[TopicPartition] = set()
        # The consumer's own metadata knows only topics that it reads already.
        cluster = await self._reader._client.fetch_all_metadata()  # noqa: SLF001 - no public way
        for topic in cluster.topics():
            if topic in self._topics or (self._pattern and self._pattern.fullmatch(topic)):
                partitions = cluster.partitions_for_topic(topic) or set()
                wanted |= {TopicPartition(topic, partition) for partition in partitions}
        assigned = self._reader.assignment()
        if not wanted or wanted <= assigned:
            return
        added = [tp for tp in wanted - assigned if (tp.topic, tp.partition) not in self.positions]
        ends = await self._reader.end_offsets(added) if self._start == "latest" and first else {}
        self._reader.assign(list(wanted | assigned))
        for tp in wanted | assigned:
            known = self.positions.get((tp.topic, tp.partition), ends.get(tp))
            # Without a position it begins at the earliest record, which is the consumer's reset policy.
            if known is not None:
                self._reader.seek(tp, known)
                self.positions[tp.topic, tp.partition] = known

    async def read(self, timeout_s: float = 0.5, max_records: int = 10_000) -> list[LogRecord]:
        """Next records, each partition's in order; empty after `timeout_s`, also while the broker is away."""
        loop = asyncio.get_running_loop()
        try:
            if loop.time() >= self._next_refresh_s:
                self._next_refresh_s = loop.time() + _REFRESH_S
                await self._assign()
            if not self._reader.assignment():
                await asyncio.sleep(min(timeout_s, _REFRESH_S))
                return []
            fetched = await self._reader.getmany(timeout_ms=round(timeout_s * 1000), max_records=max_records)
        except Exception as error:
            if not is_retriable(error):
                raise
            await asyncio.sleep(timeout_s)
            return []
        records = []
        for partition, batch in fetched.items():
            records += [log_record(record) for record in batch]
            self.positions[partition.topic, partition.partition] = batch[-1].offset + 1
        if self._gather_s:
            self._pace.keep(self._reader, sum(len(record.value or b"") for record in records), loop.time())
        return records

    async def ends(self) -> dict[TopicPartition, int]:
        """Where the topics end now."""
        return dict(await self._reader.end_offsets(list(self._reader.assignment())))

    async def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether everything before `ends` has been read."""
        return all([await self._reader.position(partition) >= end for partition, end in ends.items()])

    async def caught_up(self) -> bool:
        """Whether everything that was there when following began has been read."""
        for partition, end in list(self._ends.items()):
            if await self._reader.position(partition) >= end:
                del self._ends[partition]
        return not self._ends
