"""Batches that the engine packs are what aiokafka would have written, and what readers read."""

import struct

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from streams import packing
from streams.batches import batches_of
from streams.packing import PackedBatch, packed
from streams.processor import OutputRecord

# ruff: noqa: SLF001  # the sender of aiokafka calls private names

texts = st.none() | st.binary(max_size=5) | st.integers(0, 20_000).map(bytes)
headers = st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=200)), max_size=3).map(tuple)
records = st.tuples(texts, texts, st.just(()) | headers)
together = st.sampled_from((7, packing._TOGETHER))
"""Records that are looked at together: fewer than there are, and more."""


def _built(batch: PackedBatch | BatchBuilder) -> bytes:
    batch._set_producer_state(17, 3, 4)
    built = batch._build()
    return b"".join(built.pieces) if isinstance(built, packing.Pieces) else bytes(built)


def _without_times(raw: bytes) -> bytes:
    """With zeros for the checksum and the two time stamps."""
    return raw[:17] + bytes(4) + raw[21:27] + bytes(16) + raw[43:]


def _packed(written: list[OutputRecord], most_bytes: int, at_once: int) -> list[PackedBatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_TOGETHER", at_once)
        return packed(written, most_bytes)


@given(st.lists(records, min_size=1, max_size=200), together)
def test_a_packed_batch_is_what_aiokafka_builds(written: list[OutputRecord], at_once: int) -> None:
    builder = BatchBuilder(1 << 30, 0, is_transactional=1)
    for key, value, given_headers in written:
        builder.append(timestamp=1_700_000_000_000, key=key, value=value, headers=list(given_headers))
    (batch,) = _packed(written, 1 << 30, at_once)
    raw = _built(batch)
    assert _without_times(raw) == _without_times(_built(builder))
    assert (batch.size(), batch.record_count()) == (len(raw), len(written))
    (read,) = batches_of(raw)
    assert read.is_intact()
    block = read.block(0)
    assert [record[2:] for record in block.records(range(len(block)))] == written


@given(st.lists(records, max_size=60), st.integers(100, 30_000), together)
def test_batches_hold_all_records_in_order_and_no_more_bytes_than_they_may(
    written: list[OutputRecord], most_bytes: int, at_once: int
) -> None:
    read: list[OutputRecord] = []
    for batch in _packed(written, most_bytes, at_once):
        raw = _built(batch)
        assert len(raw) <= most_bytes or batch.record_count() == 1
        (found,) = batches_of(raw)
        block = found.block(0)
        read += [record[2:] for record in block.records(range(len(block)))]
    assert read == written


def test_what_came_of_a_state_that_was_set_again_has_its_own_checksum() -> None:
    (batch,) = packed([(b"k", b"v", ())], 1000)
    earlier = _built(batch)
    batch._set_producer_state(17, 4, 5)
    raw = b"".join(batch._build().pieces)
    assert raw != earlier
    assert struct.unpack_from(">qhi", raw, 43) == (17, 4, 5)
    (read,) = batches_of(raw)
    assert read.is_intact()


def test_nothing_is_no_batch() -> None:
    assert packed([], 1000) == []


def test_nothing_is_compiled_but_in_the_beginning() -> None:
    packing.warm_up()
    before = len(packing._pack.signatures)
    for most_bytes in (500, 1 << 20):
        packed([(b"k", b"v" * 100, (("a", b"b"),)[: number % 2]) for number in range(20)], most_bytes)
    assert len(packing._pack.signatures) == before
