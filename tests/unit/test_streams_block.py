"""Blocks: cutting, joining and what lies between their offsets."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.block import Block, Header, Record


def _block(offsets: list[int], *, start: int | None = None, end: int | None = None, partition: int = 0) -> Block:
    records = [(offset, offset * 10, b"k%d" % offset, b"v%d" % offset, (("h", b"%d" % offset),)) for offset in offsets]
    return Block.of_records(partition, records, start=start, end=end)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """A block with holes before, inside and after its records."""
    start = draw(st.integers(0, 10))
    offsets, at = [], start + draw(st.integers(0, 3))
    for _ in range(draw(st.integers(1, 12))):
        offsets.append(at)
        at += draw(st.integers(1, 4))
    return _block(offsets, start=start, end=offsets[-1] + draw(st.integers(1, 4)))


def _records(block: Block) -> list[Record]:
    return [
        (block.offset(i), int(block.timestamps_ms[i]), block.key(i), block.value(i), block.headers(i))
        for i in range(len(block))
    ]


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 2**62),
            st.none() | st.binary(max_size=300),
            st.none() | st.binary(max_size=300),
            st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=200)), max_size=3),
        ),
        max_size=9,
    )
)
def test_a_block_gives_back_the_records_that_it_was_made_of(
    parts: list[tuple[int, bytes | None, bytes | None, list[Header]]],
) -> None:
    made = [(5 * index, at, key, value, tuple(headers)) for index, (at, key, value, headers) in enumerate(parts)]
    block = Block.of_records(0, made)
    assert _records(block) == made
    assert list(block.pairs()) == [(key, value) for _, _, key, value, _ in made]
    assert (block.start, block.end) == ((0, made[-1][0] + 1) if made else (0, 0))


@given(blocks(), st.integers(0, 60))
def test_since_keeps_exactly_the_records_from_the_offset_on(block: Block, offset: int) -> None:
    rest = block.since(offset)
    assert _records(rest) == [record for record in _records(block) if record[0] >= offset]
    assert rest.end == block.end
    assert rest.start == max(block.start, offset)


@given(blocks(), st.data())
def test_parts_joined_again_are_the_block(block: Block, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(block)), max_size=4)) - {len(block)})
    parts = [block.part(first, last) for first, last in pairwise([0, *cuts, len(block)])]
    joined = Block.joined(parts)
    assert _records(joined) == _records(block)
    assert joined.end == block.end
    assert joined.data is block.data


@given(st.lists(st.lists(st.integers(1, 4), max_size=5), min_size=1, max_size=4))
def test_blocks_over_different_bytes_are_joined(steps: list[list[int]]) -> None:
    made, at = [], 0
    for gaps in steps:
        start, offsets = at, []
        for gap in gaps:
            at += gap
            offsets.append(at)
        at += 1
        made.append(_block(offsets, start=start, end=at))
    joined = Block.joined(made)
    assert _records(joined) == [record for block in made for record in _records(block)]
    assert (joined.start, joined.end) == (0, at)
    assert not joined.data.flags.writeable


def test_records_are_picked_by_their_indices() -> None:
    block = _block([3, 4, 7, 9])
    assert _records(block.take(np.array([0, 2]))) == [_records(block)[0], _records(block)[2]]


def test_keys_are_read_by_their_indices_and_null_is_an_empty_one() -> None:
    records: list[Record] = [(offset, 0, key, b"v", ()) for offset, key in enumerate([b"a", None, b"", b"bcd"])]
    block = Block.of_records(0, records)
    assert block.keys([0, 1, 3]) == [b"a", b"", b"bcd"]
    assert block.keys([]) == []


@pytest.mark.parametrize("later", [_block([5], partition=1), _block([6]), _block([4])])
def test_a_block_that_does_not_follow_is_not_joined(later: Block) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        Block.joined([_block([3, 4]), later])


def test_a_hole_between_blocks_is_bridged_when_the_later_starts_where_the_former_ends() -> None:
    block = Block.joined([_block([3, 4], end=6), _block([9], start=6, end=12)])
    assert (block.offsets.tolist(), block.start, block.end) == ([3, 4, 9], 3, 12)


def test_what_cannot_be_read_goes_with_the_block() -> None:
    spoilt = _block([5])
    spoilt.unreadable[5] = "spoilt"
    joined = Block.joined([_block([3, 4]), spoilt])
    assert joined.unreadable == joined.since(5).unreadable == {5: "spoilt"}
