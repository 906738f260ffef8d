"""Slots by id: a whole block's are found at once, whatever came and went before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.block import Block
from twins.ids import NO_SLOT, IdIndex

ids = st.binary(min_size=1, max_size=12)


def _found(index: IdIndex, keys: list[bytes | None]) -> list[int]:
    block = Block.of_records(0, [(offset, 0, key, b"x", ()) for offset, key in enumerate(keys)])
    found: list[int] = index.find(block.data, block.places).tolist()
    return found


@given(st.lists(ids, unique=True, max_size=30), st.lists(ids | st.none() | st.just(b""), max_size=20), st.data())
def test_ids_are_found_as_in_a_dictionary(known: list[bytes], others: list[bytes | None], data: st.DataObject) -> None:
    index, cut = IdIndex(), data.draw(st.integers(0, len(known)))
    index.extend(known[:cut])
    index.extend(known[cut:])
    expected = {key: slot for slot, key in enumerate(known)}
    keys = [*others, *known]
    assert index.count == len(known)
    assert _found(index, keys) == [expected.get(key or b"", NO_SLOT) for key in keys]


def test_many_ids_are_found_and_no_others() -> None:
    known = [b"twin-%d" % number for number in range(5000)]
    index = IdIndex()
    for start in range(0, len(known), 7):
        index.extend(known[start : start + 7])
    assert _found(index, list(known)) == list(range(5000))
    assert _found(index, [b"twin-%d" % number for number in range(5000, 6000)]) == [NO_SLOT] * 1000


def test_an_empty_id_takes_a_slot_that_nobody_finds() -> None:
    index = IdIndex()
    index.extend([b"a", b"", b"b"])
    assert _found(index, [b"b", b"", None, b"a"]) == [2, NO_SLOT, NO_SLOT, 0]
    assert index.find(np.frombuffer(b"", np.uint8), np.zeros((0, 6), np.int64)).tolist() == []
