# ruff: noqa: SLF001  # what Faust calls is private
"""What Faust gets: one message per partition and fetch, whatever the fetch brought."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.block import Block
from streams.log.fetch_pace import FetchPace
from streams.transport import BlockConsumer, _merged

PLACE, OTHER = TP("input", 3), TP("input", 4)


def _block(start: int, end: int, *offsets: int) -> Block:
    return Block.of_records(3, [(offset, 5000, b"k", b"v", ()) for offset in offsets], start=start, end=end)


def _message(block: Block) -> Any:
    consumer: Any = object.__new__(BlockConsumer)
    consumer.app = SimpleNamespace(consumer_generation_id=7)
    return consumer._to_message(PLACE, block)


def test_a_block_becomes_one_message_with_its_last_offset() -> None:
    block = _block(10, 14, 10, 12)
    message = _message(block)
    assert (message.value, message.offset, message.timestamp, message.generation_id) == (block, 13, 5.0, 7)


def test_a_block_without_records_becomes_a_message_too() -> None:
    message = _message(_block(10, 14))
    assert (len(message.value), message.offset, message.timestamp) == (0, 13, 0.0)


@pytest.mark.parametrize(("active", "timeout_s"), [({PLACE}, 0.01), ({PLACE, OTHER}, 1.0)])
async def test_a_partition_that_is_held_back_is_asked_for_again_soon(active: set[TP], timeout_s: float) -> None:
    asked = []

    async def getmany(partitions: set[TP], timeout: float) -> dict[TP, list[Any]]:  # noqa: ASYNC109
        asked.append((partitions, timeout))
        return {PLACE: [_block(1, 3, 1), _block(3, 4, 3)], OTHER: []}

    consumer: Any = object.__new__(BlockConsumer)
    fetcher = SimpleNamespace(_fetch_min_bytes=1)
    consumer._thread = SimpleNamespace(
        getmany=getmany, assignment=lambda: {PLACE, OTHER}, _consumer=SimpleNamespace(_fetcher=fetcher)
    )
    consumer._pace = FetchPace(0.01)
    consumer._pace.fetched(1_000_000, time.monotonic() - 2.0)
    consumer._read_offset = {PLACE: 70, OTHER: 8}
    fetched = await consumer._getmany(active, 1.0)
    assert asked == [(active, timeout_s)]
    assert [block.offsets.tolist() for block in fetched.pop(PLACE)] == [[1, 3]]
    assert not fetched
    assert 4_000 < fetcher._fetch_min_bytes < 5_100, "under a steady load the broker waits for some records"
    assert PLACE not in consumer._read_offset, "Faust would drop what lies below, also when the input begins anew"


async def test_partitions_that_are_all_held_back_are_asked_for_again_soon() -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    consumer: Any = object.__new__(BlockConsumer)
    consumer._thread = SimpleNamespace(assignment=lambda: {PLACE, OTHER})
    consumer._active_partitions, consumer._buffered_partitions = set(), {PLACE, OTHER}
    consumer._paused_partitions = set()
    consumer.flow_active, consumer.sleep = True, sleep
    assert await consumer._wait_next_records(1.0) == ({}, set())
    assert slept == [0.01], "Faust sleeps for a second, in which every partition stands still"


def test_blocks_that_follow_each_other_become_one_and_others_stay() -> None:
    merged = _merged([_block(1, 3, 1), _block(3, 5), _block(5, 6, 5), _block(9, 10, 9), "no block"])
    assert [block.offsets.tolist() for block in merged[:-1]] == [[1, 5], [9]]
    assert (merged[0].start, merged[0].end, merged[-1]) == (1, 6, "no block")


def test_room_in_fausts_buffer_does_not_let_a_paused_partition_go_on() -> None:
    consumer: Any = object.__new__(BlockConsumer)
    consumer._thread = SimpleNamespace(assignment=lambda: {PLACE, OTHER})
    consumer._active_partitions, consumer._buffered_partitions = {PLACE, OTHER}, set()
    consumer._paused_partitions = set()
    consumer.app = SimpleNamespace(in_recovery=False)
    consumer.pause_partitions({PLACE})
    for place in (PLACE, OTHER):
        consumer.on_buffer_full(place)
    assert consumer._active_partitions == set()
    for place in (PLACE, OTHER):
        consumer.on_buffer_drop(place)
    assert consumer._active_partitions == {OTHER}
    consumer.resume_partitions({PLACE})
    assert consumer._active_partitions == {PLACE, OTHER}


async def test_faust_seeks_to_the_engines_positions_and_nowhere_else() -> None:
    sought: list[tuple[TP, int]] = []

    def seek(place: TP, position: int) -> None:
        sought.append((place, position))

    consumer: Any = object.__new__(BlockConsumer)
    consumer._thread = SimpleNamespace(assignment=lambda: {PLACE, OTHER}, seek=seek)
    consumer.transport = SimpleNamespace(positions=lambda: {3: 70, 9: 1})
    assert await consumer.seek_to_committed() == {PLACE: 70}
    assert sought == [(PLACE, 70)]
