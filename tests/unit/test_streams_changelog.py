"""Reading a changelog: a state that can't be read is never taken for one that is not there."""

from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from streams.block import Block
from streams.changelog import ChangelogReader, Position, Restored
from streams.log.client import KafkaOptions

PLACE = TopicPartition("state", 0)


class _Consumer:
    """Gives one block."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.at = 0

    async def end_offsets(self, _places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {PLACE: self.block.end}

    def assign(self, _places: list[TopicPartition]) -> None: ...

    async def beginning_offsets(self, _places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {PLACE: self.block.start}

    def seek(self, _place: TopicPartition, offset: int) -> None:
        self.at = offset

    async def position(self, _place: TopicPartition) -> int:
        return self.at

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Block]]:  # noqa: ARG002
        self.at = self.block.end
        return {PLACE: [self.block]}


def _reader(block: Block) -> ChangelogReader:
    reader: Any = ChangelogReader(KafkaOptions("nowhere:1"), "state")
    reader._consumer = _Consumer(block)  # noqa: SLF001 - instead of a connection
    found: ChangelogReader = reader
    return found


async def test_rows_come_in_order_and_the_last_position_is_told() -> None:
    earlier, position = (
        msgspec.json.encode(Position(offset, "cluster", "topic", {"layout": "x"})) for offset in (3, 7)
    )
    block = Block.of_records(
        0,
        [
            (0, 0, b"a", b"1", ()),
            (1, 0, b"#position", earlier, ()),
            (3, 0, b"a", None, ()),
            (4, 0, b"#position", position, ()),
        ],
    )
    restored = Restored()
    rows = [row async for rows in _reader(block).rows(0, restored) for row in rows.pairs()]
    assert rows == [(b"a", b"1"), (b"a", None)]
    assert restored.position == Position(7, "cluster", "topic", {"layout": "x"})
    assert (restored.end, restored.rows) == (5, 2)


async def test_a_record_batch_that_cannot_be_read_is_an_error_and_no_hole() -> None:
    block = Block.of_records(0, [(0, 0, b"a", b"1", ()), (1, 0, None, b"batch", ())])
    block.unreadable[1] = "wrong checksum"
    with pytest.raises(CorruptRecordException, match="wrong checksum"):
        _ = [rows async for rows in _reader(block).rows(0, Restored())]
