"""What Faust gets: one message per partition and fetch, whatever the fetch brought."""

from types import SimpleNamespace
from typing import Any

from faust.types import TP

from streams.block import Block
from streams.transport import BlockConsumer, _merged

PLACE = TP("input", 3)


def _block(start: int, end: int, *offsets: int) -> Block:
    return Block.of_records(3, [(offset, 5000, b"k", b"v", ()) for offset in offsets], start=start, end=end)


def _message(block: Block) -> Any:
    consumer: Any = object.__new__(BlockConsumer)
    consumer.app = SimpleNamespace(consumer_generation_id=7)
    return consumer._to_message(PLACE, block)  # noqa: SLF001 - Faust calls it


def test_a_block_becomes_one_message_with_its_last_offset() -> None:
    block = _block(10, 14, 10, 12)
    message = _message(block)
    assert (message.value, message.offset, message.timestamp, message.generation_id) == (block, 13, 5.0, 7)


def test_a_block_without_records_becomes_a_message_too() -> None:
    message = _message(_block(10, 14))
    assert (len(message.value), message.offset, message.timestamp) == (0, 13, 0.0)


def test_blocks_that_follow_each_other_become_one_and_others_stay() -> None:
    merged = _merged([_block(1, 3, 1), _block(3, 5), _block(5, 6, 5), _block(9, 10, 9), "no block"])
    assert [block.offsets.tolist() for block in merged[:-1]] == [[1, 5], [9]]
    assert (merged[0].start, merged[0].end, merged[-1]) == (1, 6, "no block")
