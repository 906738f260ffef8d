"""The changelog of one partition: its position record, and reading it back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException

from streams.fetch import fetch_blocks_of
from streams.log.client import KafkaOptions
from streams.processor import RESERVED_KEY_PREFIX

if TYPE_CHECKING:
    from streams.block import Block

STALLED_S = 30.0
_TAIL_RECORDS = 4
_TAIL_GROWTH = 32
POSITION_KEY = RESERVED_KEY_PREFIX + b"position"


class Position(msgspec.Struct, frozen=True):
    """The position record: how far the rows before it go.

    Attributes:
        offset: Next offset of the input partition.
        cluster: Id of the Kafka cluster that the input was read from.
        topic_id: Id of the input topic.
        note: Fingerprints of layout and definition.
    """

    offset: int
    cluster: str
    topic_id: str
    note: dict[str, str] = {}


@dataclass(slots=True)
class Restored:
    """What reading back one partition gave.

    Attributes:
        position: None for a partition that never flushed.
        end: Next offset of the changelog when it was read.
        rows: Records handed on.
    """

    position: Position | None = None
    end: int = 0
    rows: int = 0


@dataclass(slots=True)
class ChangelogReader:
    """Reads changelog partitions up to their last stable offset."""

    options: KafkaOptions
    topic: str
    _consumer: AIOKafkaConsumer | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        """Connect."""
        fetch_blocks_of([self.topic])
        self._consumer = AIOKafkaConsumer(
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 << 20,
            **self.options.client_kwargs(),
        )
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def end(self, partition: int, topic: str | None = None) -> int:
        """Last stable offset of a partition of the changelog, or of another topic."""
        consumer = self._connected
        target = TopicPartition(topic or self.topic, partition)
        ends: dict[TopicPartition, int] = await consumer.end_offsets([target])
        return ends[target]

    async def position(self, partition: int) -> Position | None:
        """The last position record, None for a partition that never flushed.

        Raises:
            CorruptRecordException: a record batch can't be read.
            TimeoutError: as for `rows`.
        """
        end = await self.end(partition)
        target = TopicPartition(self.topic, partition)
        first: int = (await self._connected.beginning_offsets([target]))[target]
        # The last record of every transaction, before its marker; behind it there may be what was aborted.
        tail = _TAIL_RECORDS
        while first < end:
            start = max(first, end - tail)
            found = None
            async for rows in self._records(partition, start, end):
                for key, value in rows:
                    if key == POSITION_KEY:
                        found = value
            if found is not None:
                return msgspec.json.decode(found, type=Position)
            if start == first:
                break
            tail *= _TAIL_GROWTH
        return None

    async def rows(self, partition: int, restored: Restored) -> AsyncIterator[list[tuple[bytes, bytes | None]]]:
        """Yield rows, oldest first; fill `restored`. Copes with an empty and a compacted partition.

        Raises:
            CorruptRecordException: a record batch can't be read.
            TimeoutError: nothing more comes for `STALLED_S`, such as while no broker leads the partition.
        """
        restored.end = await self.end(partition)
        async for records in self._records(partition, None, restored.end):
            rows = []
            for key, value in records:
                if key == POSITION_KEY:
                    restored.position = msgspec.json.decode(value or b"", type=Position)
                elif key is not None:
                    rows.append((key, value))
            restored.rows += len(rows)
            yield rows

    async def _records(
        self, partition: int, start: int | None, end: int
    ) -> AsyncIterator[Iterable[tuple[bytes | None, bytes | None]]]:
        """Key and value of the records from `start`, None for the first there is, to before `end`, block by block."""
        consumer = self._connected
        target = TopicPartition(self.topic, partition)
        consumer.assign([target])
        if start is None:
            await consumer.seek_to_beginning(target)
        else:
            consumer.seek(target, start)
        last, since_s = -1, time.monotonic()
        while (at := await consumer.position(target)) < end:
            if at > last:
                last, since_s = at, time.monotonic()
            elif time.monotonic() - since_s > STALLED_S:
                message = f"changelog {self.topic}/{partition} gives nothing at {at}, before its end {end}"
                raise TimeoutError(message)
            blocks: list[Block] = (await consumer.getmany(timeout_ms=200)).get(target, [])
            for block in blocks:
                if block.unreadable:
                    message = f"changelog {self.topic}/{partition} can't be read: {block.unreadable}"
                    raise CorruptRecordException(message)
                yield block.pairs()
            await asyncio.sleep(0)

    @property
    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            message = "use ChangelogReader in `async with`"
            raise RuntimeError(message)
        return self._consumer
