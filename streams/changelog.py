"""The changelog of one partition: its position record, and reading it back."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException

from streams.block import Block
from streams.fetch import fetch_blocks_of
from streams.log.client import KafkaOptions
from streams.processor import RESERVED_KEY_PREFIX
from streams.unpacking import KEY_SIZE, find_key

STALLED_S = 30.0
_FETCH_WAIT_MS = 20
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
        begin: Offset at which reading began.
        at: How far it is.
        end: Next offset of the changelog when reading began.
        rows: Records handed on.
    """

    position: Position | None = None
    begin: int = 0
    at: int = 0
    end: int = 0
    rows: int = 0


def told_apart(block: Block) -> tuple[Block, Position | None]:
    """The rows of a block, and the last position record among them, None when there is none."""
    found = find_key(block.data, block.places, POSITION_KEY)
    keyless = np.flatnonzero(block.places[:, KEY_SIZE] < 0)
    position = None
    if len(found):
        position = msgspec.json.decode(block.value(int(found[-1])) or b"", type=Position)
    if len(found) or len(keyless):
        block = block.take(np.delete(np.arange(len(block)), np.concatenate([found, keyless])))
    return block, position


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
            # What is fetched ahead at the end of a partition holds back the fetch behind the next seek.
            fetch_max_wait_ms=_FETCH_WAIT_MS,
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

    async def beginning(self, partition: int) -> int:
        """First offset of a partition that the log still has."""
        target = TopicPartition(self.topic, partition)
        beginnings: dict[TopicPartition, int] = await self._connected.beginning_offsets([target])
        return beginnings[target]

    async def position(self, partition: int) -> Position | None:
        """The last position record, None for a partition that never flushed.

        Raises:
            CorruptRecordException: a record batch can't be read.
            TimeoutError: as for `rows`.
        """
        end, first = await self.end(partition), await self.beginning(partition)
        # The last record of every transaction, before its marker; behind it there may be what was aborted.
        tail = _TAIL_RECORDS
        while first < end:
            start = max(first, end - tail)
            found = None
            async for block in self._records(partition, start, end):
                found = told_apart(block)[1] or found
            if found is not None:
                return found
            if start == first:
                break
            tail *= _TAIL_GROWTH
        return None

    async def rows(self, partition: int, restored: Restored, start: int | None = None) -> AsyncIterator[Block]:
        """Yield rows, oldest first; fill `restored`. Copes with an empty, a compacted and a cut partition.

        Args:
            partition: Which.
            restored: Told how far it is.
            start: First offset to read, None for the first there is.

        Raises:
            CorruptRecordException: a record batch can't be read.
            TimeoutError: nothing more comes for `STALLED_S`, such as while no broker leads the partition.
        """
        restored.end = await self.end(partition)
        restored.begin = restored.at = await self.beginning(partition) if start is None else start
        async for block in self._records(partition, restored.begin, restored.end):
            rows, position = told_apart(block)
            restored.position = position or restored.position
            restored.rows += len(rows)
            restored.at = block.end
            yield rows

    async def _records(self, partition: int, start: int, end: int) -> AsyncIterator[Block]:
        """Blocks from `start` to `end`; a beginning that the log loses meanwhile is passed over."""
        consumer = self._connected
        target = TopicPartition(self.topic, partition)
        consumer.assign([target])
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
                yield block
            await asyncio.sleep(0)

    @property
    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            message = "use ChangelogReader in `async with`"
            raise RuntimeError(message)
        return self._consumer
