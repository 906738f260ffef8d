"""Blocks: cutting, joining and what lies between their offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.block import Block


def _block(offsets: list[int], *, start: int | None = None, end: int | None = None, partition: int = 0) -> Block:
    return Block(
        partition,
        offsets[0] if start is None else start,
        offsets[-1] + 1 if end is None else end,
        list(offsets),
        [offset * 10 for offset in offsets],
        [b"k%d" % offset for offset in offsets],
        [b"v%d" % offset for offset in offsets],
        [(("h", b"%d" % offset),) for offset in offsets],
    )


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """A block with holes before, inside and after its records."""
    start = draw(st.integers(0, 10))
    offsets, at = [], start + draw(st.integers(0, 3))
    for _ in range(draw(st.integers(1, 12))):
        offsets.append(at)
        at += draw(st.integers(1, 4))
    return _block(offsets, start=start, end=offsets[-1] + draw(st.integers(1, 4)))


@given(blocks(), st.integers(0, 60))
def test_since_keeps_exactly_the_records_from_the_offset_on(block: Block, offset: int) -> None:
    rest = block.since(offset)
    assert rest.offsets == [known for known in block.offsets if known >= offset]
    assert rest.values == [b"v%d" % known for known in rest.offsets]
    assert rest.keys == [b"k%d" % known for known in rest.offsets]
    assert rest.timestamps_ms == [known * 10 for known in rest.offsets]
    assert [dict(headers)["h"] for headers in rest.headers] == [b"%d" % known for known in rest.offsets]
    assert rest.end == block.end
    assert rest.start == max(block.start, offset)


@given(blocks(), st.data())
def test_parts_joined_again_are_the_block(block: Block, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(block)), max_size=4)) - {len(block)})
    parts = [block.part(first, last) for first, last in zip([0, *cuts], [*cuts, len(block)], strict=True)]
    joined = parts[0]
    for part in parts[1:]:
        joined.extend(part)
    assert joined.offsets == block.offsets
    assert joined.values == block.values
    assert joined.end == block.end
    assert len(joined) == len(block)


@pytest.mark.parametrize("later", [_block([5], partition=1), _block([6]), _block([4])])
def test_a_block_that_does_not_follow_is_not_joined(later: Block) -> None:
    block = _block([3, 4])
    with pytest.raises(ValueError, match="does not follow"):
        block.extend(later)
    assert block.offsets == [3, 4]


def test_a_hole_between_blocks_is_bridged_when_the_later_starts_where_the_former_ends() -> None:
    block = _block([3, 4], end=6)
    block.extend(_block([9], start=6, end=12))
    assert (block.offsets, block.start, block.end) == ([3, 4, 9], 3, 12)
