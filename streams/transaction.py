"""One partition's transactional producer: outputs, rows, position and offset, all or nothing."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from schemas.partitioning import partition_of
from streams.log.client import KafkaOptions
from streams.log.stopping import let_go
from streams.packing import PackedBatch, packed
from streams.processor import OutputRecord
from streams.targets import Targets
from streams.wire import write_in_one_piece

log = structlog.get_logger(__name__)

BATCH_BYTES = 1 << 20
_STOP_TIMEOUT_S = 2.0
Place = str | tuple[str, int]
"""A topic, meaning the partition of it that is numbered as the input's, or a topic and one of its partitions."""


class PartitionTransactions:
    """Writes flushes of one partition under a static transactional id, which fences every earlier owner."""

    def __init__(
        self, options: KafkaOptions, transactional_id: str, partition: int, timeout_s: float, targets: Targets
    ) -> None:
        write_in_one_piece()
        self.transactional_id = transactional_id
        self._targets = targets
        self._partition = partition
        self._producer = AIOKafkaProducer(
            transactional_id=transactional_id,
            # An open transaction of a frozen owner holds readers back for at most this long.
            transaction_timeout_ms=round(timeout_s * 1000),
            max_batch_size=BATCH_BYTES,
            max_request_size=4 * BATCH_BYTES,
            linger_ms=0,
            **options.client_kwargs(),
        )

    async def fence(self) -> None:
        """Take over the transactional id: whoever had it can write no more, and what it left open is aborted."""
        await self._producer.start()

    def batches(self, records: Sequence[OutputRecord]) -> list[PackedBatch]:
        """Pack records into batches; may run in any thread."""
        return packed(records, BATCH_BYTES)

    async def addressed(self, routed: Mapping[str, list[OutputRecord]]) -> dict[Place, list[PackedBatch]]:
        """Pack records for the partitions where their keys belong, keeping the order of each.

        Args:
            routed: By topic, which is made if it is missing.
        """
        partitions = {topic: await self._targets.partitions(topic) for topic in routed}

        def sorted_and_packed() -> dict[Place, list[PackedBatch]]:
            sorted_out: dict[Place, list[OutputRecord]] = {}
            for topic, records in routed.items():
                for record in records:
                    place = (topic, partition_of(record[0] or b"", partitions[topic]))
                    sorted_out.setdefault(place, []).append(record)
            return {place: self.batches(records) for place, records in sorted_out.items()}

        return await asyncio.to_thread(sorted_and_packed)

    async def commit(
        self,
        batches: Mapping[Place, list[PackedBatch]],
        last_topic: str,
        offsets: Mapping[TopicPartition, int],
        group: str,
    ) -> int:
        """Write all batches, the group's offsets and the commit marker.

        Args:
            batches: Raw batches by where they go.
            last_topic: The topic whose last record's offset to return.
            offsets: Next offset of input partitions, for lag tools; that takes two requests more, so it may be empty.
            group: Consumer group.

        Returns:
            Offset of the last record written to `last_topic`.
        """
        try:
            return await self._commit(batches, last_topic, offsets, group)
        except BaseException:
            self._targets.forget()
            raise

    async def _commit(
        self,
        batches: Mapping[Place, list[PackedBatch]],
        last_topic: str,
        offsets: Mapping[TopicPartition, int],
        group: str,
    ) -> int:
        await self._producer.begin_transaction()
        addressed = [
            (place, batch, *((place, self._partition) if isinstance(place, str) else place))
            for place, built in batches.items()
            for batch in built
        ]
        sent = [
            (place, batch.record_count(), await self._producer.send_batch(batch, topic, partition=partition))
            for place, batch, topic, partition in addressed
        ]
        await asyncio.gather(*(future for _, _, future in sent))
        if offsets:
            await self._producer.send_offsets_to_transaction(offsets, group)
        await self._producer.commit_transaction()
        # A batch's future tells the offset of its first record.
        ends: list[int] = [
            int(future.result().offset) + count - 1 for place, count, future in sent if place == last_topic
        ]
        return max(ends)

    async def close(self) -> None:
        """Let go, without waiting long for a broker that is away; the next owner's fence aborts what is open."""
        if error := await let_go(self._producer, _STOP_TIMEOUT_S):
            log.warning("producer did not stop cleanly", transactional_id=self.transactional_id, error=repr(error))
