"""Fetching blocks: record batches as columns, without a Python object per record.

`PartitionRecords` of aiokafka builds a `ConsumerRecord` for every record; the subclass here yields one `Block` for all
that a fetch brought of a partition, for the topics that asked for it. It leans on private names of aiokafka 0.14.0,
which `tests/unit/test_private_names.py` pins.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise, zip_longest
from typing import Any

import aiokafka.consumer.fetcher as aiokafka_fetcher
import numpy as np
import structlog
from aiokafka.record.memory_records import MemoryRecords

from streams import packing, unpacking
from streams.batches import Batch, UnreadableBatchError, batches_of
from streams.block import Block
from streams.decompression import LIMIT_BYTES

log = structlog.get_logger(__name__)

CRC_ATTEMPTS = 3
"""A batch with a wrong checksum is fetched so often before it counts as what stands in the log."""

_LARGE_BATCH = 1 << 20
_MOST_RECORDS = 1 << 18
"""Of a block: compressed records without content are many in few bytes, and each of them costs something."""
_block_topics: set[str] = set()
_corrupt: Counter[tuple[str, int, int]] = Counter()
"""How often a batch came with a wrong checksum, by topic, partition and first offset."""


def fetch_blocks_of(topics: Iterable[str]) -> None:
    """From now on, consumers of this process get blocks instead of records from `topics`."""
    unpacking.warm_up()
    packing.warm_up()
    _block_topics.update(topics)
    aiokafka_fetcher.PartitionRecords = BlockRecords
    aiokafka_fetcher.MemoryRecords = FetchedRecords


class FetchedRecords:
    """aiokafka's reader of fetched batches, which keeps the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        batches = MemoryRecords(data)
        self.size_in_bytes = batches.size_in_bytes
        self.has_next = batches.has_next
        self.next_batch = batches.next_batch


class BlockRecords(aiokafka_fetcher.PartitionRecords):
    """Yields one `Block` per fetch, without records where all batches are aborted ones or markers."""

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Any]:
        if self._tp.topic not in _block_topics:
            yield from super()._unpack_records()
            return
        start: int = self.next_fetch_offset
        found: list[Block] = []
        records = decompressed = 0
        batches = list(batches_of(self._records.data))
        for batch, following in zip_longest(batches, batches[1:]):
            if self._check_crcs and not batch.is_intact():
                if self._is_worth_another_try(batch):
                    break
                found.append(self._substitute(batch, f"wrong checksum, in {CRC_ATTEMPTS} fetches"))
                # What the batch says of its end can't be trusted.
                end = following.base_offset if following else min(batch.next_offset, batch.base_offset + _LARGE_BATCH)
                self.next_fetch_offset = max(self.next_fetch_offset + 1, end)
                continue
            if self._is_wanted(batch):
                found.append(self._block(batch))
                records += len(found[-1])
                decompressed += len(found[-1].data) if batch.is_compressed else 0
            self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)
            if self.next_fetch_offset > start and (records > _MOST_RECORDS or decompressed > LIMIT_BYTES):
                break
        if self.next_fetch_offset > start:
            block = _joined(found or [Block.of_records(self._tp.partition, ())], start, self.next_fetch_offset)
            if len(block) > _MOST_RECORDS:
                # What is left out is fetched once more.
                block = block.part(0, _MOST_RECORDS, start=block.start)
                self.next_fetch_offset = block.end
            yield block

    def _block(self, batch: Batch) -> Block:
        """Records of a batch from the wanted offset on; what can't be read becomes one record that tells so."""
        try:
            block = batch.block(self._tp.partition)
        except UnreadableBatchError as error:
            return self._substitute(batch, str(error))
        wanted = self.next_fetch_offset
        return block.part(int(np.searchsorted(block.offsets, wanted)), len(block), start=wanted)

    def _substitute(self, batch: Batch, why: str) -> Block:
        wanted = self.next_fetch_offset
        offset = max(wanted, batch.base_offset)
        log.error(
            "record batch can't be read, passing over it",
            topic=self._tp.topic,
            partition=self._tp.partition,
            offset=offset,
            error=why,
        )
        record = (offset, batch.timestamp_ms, None, bytes(batch.raw), ())
        block = Block.of_records(self._tp.partition, [record], start=wanted)
        block.unreadable[offset] = f"a record batch can't be read: {why}"
        return block

    def _is_worth_another_try(self, batch: Batch) -> bool:
        """Whether to fetch a batch with a wrong checksum again, because it may have been spoilt on the way."""
        place = (self._tp.topic, self._tp.partition, batch.base_offset)
        _corrupt[place] += 1
        if _corrupt[place] < CRC_ATTEMPTS:
            log.warning("record batch has a wrong checksum, fetching it again", place=place)
            return True
        del _corrupt[place]
        return False

    def _is_wanted(self, batch: Batch) -> bool:
        """Whether a batch holds records for consumers: no marker, and of no aborted transaction."""
        if self._isolation_level != aiokafka_fetcher.READ_COMMITTED:
            return not batch.is_control
        self._consume_aborted_up_to(batch.base_offset)
        if batch.is_control:
            # Who is on the list ends by the marker of an abort, and begins anew.
            self._aborted_producers.discard(batch.producer_id)
            return False
        return not (batch.is_transactional and batch.producer_id in self._aborted_producers)


def _joined(blocks: list[Block], start: int, end: int) -> Block:
    """One block from `start` to `end`, whatever lies between the records."""
    blocks[0].start, blocks[-1].end = start, end
    for block, later in pairwise(blocks):
        block.end = later.start
    return Block.joined(blocks)
