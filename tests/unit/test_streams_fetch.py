"""Fetched bytes as blocks: what aiokafka reads in them, whole, and what nobody can read told and passed over."""

import contextlib
import gzip
import struct
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import aiokafka.consumer.fetcher as aiokafka_fetcher
import cramjam
import pytest
from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import decompression, fetch
from streams.block import Block
from streams.decompression import LIMIT_BYTES
from streams.fetch import CRC_ATTEMPTS, BlockRecords, FetchedRecords, fetch_blocks_of
from streams.unpacking import write_headers

NAMES = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
PARTITION = TopicPartition("test-fetch", 3)
ABORT, COMMIT = b"\0\0\0\0", b"\0\0\0\1"
NO_PRODUCER = -1
XERIAL = b"\x82SNAPPY\0\0\0\0\1\0\0\0\1"

Item = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
items = st.tuples(
    st.integers(0, 2**41),
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=200),
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=3),
)


@pytest.fixture(autouse=True)
def _blocks() -> Iterator[None]:
    fetch_blocks_of([PARTITION.topic])
    fetch._corrupt.clear()  # noqa: SLF001 - what one test spoilt is nothing to the next
    yield
    fetch._corrupt.clear()  # noqa: SLF001


def batch(
    base: int,
    given_items: Iterable[Item],
    *,
    codec: int = 0,
    producer: int = NO_PRODUCER,
    transactional: bool = False,
    attributes: int = 0,
) -> bytes:
    """A record batch as a broker serves it."""
    builder = DefaultRecordBatchBuilder(2, codec, int(transactional), producer, 0, 0, 1 << 20)
    for index, (timestamp_ms, key, value, headers) in enumerate(given_items):
        builder.append(index, timestamp_ms, key, value, headers)
    return sealed(bytes(builder.build()), base, attributes)


def sealed(raw: bytes, base: int | None = None, attributes: int = 0) -> bytes:
    """With another base offset and more attributes, and the checksum that belongs to them."""
    changed = bytearray(raw)
    if base is not None:
        struct.pack_into(">q", changed, 0, base)
    struct.pack_into(">h", changed, 21, struct.unpack_from(">h", raw, 21)[0] | attributes)
    struct.pack_into(">I", changed, 17, calc_crc32c(memoryview(changed)[21:]))
    return bytes(changed)


def values(base: int, *texts: bytes, **options: Any) -> bytes:
    return batch(base, [(1000 + base, b"k", text, []) for text in texts], **options)


def marker(base: int, producer: int, kind: bytes) -> bytes:
    """The end of a transaction."""
    return batch(base, [(1, kind, b"", [])], producer=producer, transactional=True, attributes=0x20)


def reading(data: bytes, at: int, aborted: list[tuple[int, int]] | None = None, *, committed: bool = True) -> Any:
    level = aiokafka_fetcher.READ_COMMITTED if committed else aiokafka_fetcher.READ_UNCOMMITTED
    return BlockRecords(PARTITION, FetchedRecords(data), aborted, at, None, None, True, level)  # noqa: FBT003


def fetched(data: bytes, at: int = 0, aborted: list[tuple[int, int]] | None = None) -> Block:
    (block,) = list(reading(data, at, aborted))
    assert isinstance(block, Block)
    return block


def texts(block: Block) -> list[bytes | None]:
    return [value for _, value in block.pairs()]


@given(st.lists(st.lists(items, min_size=1, max_size=5), min_size=1, max_size=4), st.sampled_from(sorted(NAMES)))
def test_a_block_holds_what_aiokafka_reads(batches: list[list[Item]], codec: int) -> None:
    data, expected, at = b"", [], 7
    for group in batches:
        raw = batch(at, group, codec=codec)
        data += raw
        for record in DefaultRecordBatch(raw):
            headers = tuple((name, value or b"") for name, value in record.headers)
            expected.append((record.offset, record.timestamp, record.key, record.value, headers))
        at += len(group)
    block = fetched(data, 7)
    assert [
        (block.offset(i), int(block.timestamps_ms[i]), block.key(i), block.value(i), block.headers(i))
        for i in range(len(block))
    ] == expected
    assert (block.start, block.end, block.unreadable) == (7, at, {})


@pytest.mark.parametrize("codec", sorted(NAMES), ids=NAMES.values())
def test_a_fetch_that_begins_inside_a_batch_gives_the_rest_of_it(codec: int) -> None:
    block = fetched(values(10, b"a", b"b", b"c", codec=codec) + values(13, b"d"), 11)
    assert (block.offsets.tolist(), texts(block)) == ([11, 12, 13], [b"b", b"c", b"d"])
    assert (block.start, block.end) == (11, 14)


def test_what_the_broker_cut_off_is_fetched_next() -> None:
    whole = values(0, b"a", b"b")
    block = fetched(whole + values(2, b"c")[:-1])
    assert (texts(block), block.end) == ([b"a", b"b"], 2)
    assert list(reading(whole[:-1], 0)) == []


def test_records_that_the_broker_stamped_have_its_time() -> None:
    stamped = batch(0, [(5, b"k", b"v", []), (9, b"k", b"v", [])], attributes=0x08)
    assert fetched(stamped).timestamps_ms.tolist() == [9, 9]


def test_aborted_records_and_markers_are_passed_over_and_the_block_covers_them() -> None:
    data = (
        values(0, b"no", producer=1, transactional=True)
        + values(1, b"yes", producer=2, transactional=True)
        + marker(2, 1, ABORT)
        + marker(3, 2, COMMIT)
        + values(4, b"again", producer=1, transactional=True)
        + marker(5, 1, COMMIT)
    )
    block = fetched(data, 0, [(1, 0)])
    assert (texts(block), block.offsets.tolist(), block.start, block.end) == ([b"yes", b"again"], [1, 4], 0, 6)
    (dirty,) = list(reading(data, 0, [(1, 0)], committed=False))
    assert texts(dirty) == [b"no", b"yes", b"again"]


def test_a_fetch_of_aborted_records_alone_gives_an_empty_block_that_moves_the_position() -> None:
    data = values(5, b"no", producer=1, transactional=True) + marker(6, 1, ABORT)
    block = fetched(data, 5, [(1, 5)])
    assert (len(block), block.start, block.end, block.offsets.tolist()) == (0, 5, 7, [])


def test_header_names_that_are_no_utf8_and_null_values_are_taken_as_they_can_be() -> None:
    raw = batch(0, [(0, b"k", b"v", [("abc", None), ("def", b"x")])])
    block = fetched(sealed(raw.replace(b"abc", b"\xff\xfec")))
    assert block.headers(0) == (("\ufffd\ufffdc", b""), ("def", b"x"))


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1, 2, 3])
def test_message_sets_of_old_logs_are_read(magic: int, codec: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, codec if (magic, codec) != (0, 3) else 0, 1 << 16)
    for offset in range(3):
        builder.append(offset, 1000 + offset, b"k%d" % offset, b"v%d" % offset)
    block = fetched(bytes(builder.build()) + values(3, b"v3"), 1)
    assert (block.offsets.tolist(), texts(block)) == ([1, 2, 3], [b"v1", b"v2", b"v3"])
    assert block.timestamps_ms.tolist()[:2] == ([1001, 1002] if magic else [0, 0])
    assert (block.key(0), block.headers(0), block.start, block.end) == (b"k1", (), 1, 4)


# -- what can't be read -----------------------------------------------------------------------------------------------


def spoilt(raw: bytes) -> bytes:
    """With another last byte, and the old checksum."""
    return raw[:-2] + bytes([raw[-2] ^ 1]) + raw[-1:]


def test_a_wrong_checksum_is_fetched_again_and_forgotten_when_that_helps() -> None:
    good = values(0, b"a")
    data = good + spoilt(values(1, b"b")) + values(2, b"c")
    records = reading(data, 0)
    assert [texts(block) for block in records] == [[b"a"]]
    assert records.next_fetch_offset == 1
    assert texts(fetched(values(1, b"b") + values(2, b"c"), 1)) == [b"b", b"c"]


def test_a_checksum_that_stays_wrong_becomes_one_faulty_record_and_is_passed_over() -> None:
    bad = spoilt(values(1, b"b", b"bb"))
    for _ in range(CRC_ATTEMPTS - 1):
        records = reading(bad + values(3, b"c"), 1)
        assert list(records) == []
        assert records.next_fetch_offset == 1
    block = fetched(bad + values(3, b"c"), 1)
    assert block.offsets.tolist() == [1, 3]
    assert texts(block) == [bad, b"c"]
    assert list(block.unreadable) == [1]
    assert "checksum" in block.unreadable[1]
    assert (block.key(0), block.start, block.end) == (None, 1, 4)


def test_a_spoilt_header_can_neither_stop_nor_swallow_what_follows() -> None:
    header = bytearray(values(1, b"b"))
    struct.pack_into(">i", header, 23, 2**31 - 1)
    for _ in range(CRC_ATTEMPTS - 1):
        list(reading(bytes(header) + values(2, b"c"), 1))
    assert fetched(bytes(header) + values(2, b"c"), 1).offsets.tolist() == [1, 2]
    struct.pack_into(">i", header, 23, -5)
    for _ in range(CRC_ATTEMPTS - 1):
        list(reading(bytes(header), 1))
    assert fetched(bytes(header), 1).end == 2


def _unknown_codec(raw: bytes) -> bytes:
    return sealed(raw, None, 0x06)


def _not_compressed(raw: bytes) -> bytes:
    return sealed(raw, None, 0x04)


def _too_many(raw: bytes) -> bytes:
    changed = bytearray(raw)
    struct.pack_into(">i", changed, 57, 2**31 - 1)
    return sealed(bytes(changed))


def _unknown_version(raw: bytes) -> bytes:
    return raw[:16] + b"\x07" + raw[17:]


def _too_long(raw: bytes) -> bytes:
    changed = bytearray(raw)
    changed[61] = 0x7E
    return sealed(bytes(changed))


@pytest.mark.parametrize("spoil", [_unknown_codec, _not_compressed, _too_many, _unknown_version, _too_long])
def test_a_batch_that_nobody_can_read_becomes_one_faulty_record_and_is_passed_over(spoil: Any) -> None:
    bad = spoil(values(1, b"b", b"bb"))
    block = fetched(values(0, b"a") + bad + values(3, b"c"))
    assert (block.offsets.tolist(), texts(block)) == ([0, 1, 3], [b"a", bad, b"c"])
    assert list(block.unreadable) == [1]
    assert (block.start, block.end) == (0, 4)


# -- what swells ------------------------------------------------------------------------------------------------------


def compressed(codec: int, records: bytes, count: int) -> bytes:
    """A batch whose compressed part says this."""
    head = batch(0, [(0, None, b"", [])], codec=codec)[:61]
    packed = {1: gzip.compress, 2: cramjam.snappy.compress_raw, 3: cramjam.lz4.compress, 4: cramjam.zstd.compress}
    raw = bytearray(head + bytes(packed[codec](records)))  # type: ignore[operator]
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    struct.pack_into(">i", raw, 23, count - 1)
    struct.pack_into(">i", raw, 57, count)
    return sealed(bytes(raw))


def huge_record(size: int) -> bytes:
    def varint(number: int) -> bytes:
        return write_headers([("", bytes(number))])[1:-number]

    body = b"\0\0\0\x01" + varint(size) + bytes(size) + b"\0"
    return varint(len(body)) + body


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=NAMES.get)
def test_a_batch_that_swells_becomes_one_faulty_record_and_takes_no_memory(codec: int) -> None:
    bomb = compressed(codec, huge_record(3 * LIMIT_BYTES), 1)
    assert len(bomb) < LIMIT_BYTES / 4
    tracemalloc.start()
    block = fetched(bomb + values(1, b"c"))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2.5 * LIMIT_BYTES
    assert (block.offsets.tolist(), texts(block)) == ([0, 1], [bomb, b"c"])
    assert "more than" in block.unreadable[0]


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=NAMES.get)
def test_aiokafkas_own_reader_is_bounded_alike(codec: int) -> None:
    bomb = compressed(codec, huge_record(2 * LIMIT_BYTES), 1)
    batches = MemoryRecords(bomb)
    with pytest.raises(ValueError, match="more than"):
        list(batches.next_batch())


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=NAMES.get)
def test_what_is_as_large_as_it_may_be_is_read(codec: int) -> None:
    size = LIMIT_BYTES - 20
    (value,) = texts(fetched(compressed(codec, huge_record(size), 1)))
    assert value is not None
    assert len(value) == size


def test_many_batches_that_swell_come_in_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "LIMIT_BYTES", 1000)
    batches = [sealed(values(0, bytes(600), codec=4), n) for n in range(6)]
    at, sizes = 0, []
    while at < 6:
        records = reading(b"".join(batches[at:]), at)
        (block,) = records
        assert block.start == at
        at = records.next_fetch_offset
        sizes.append(len(block))
    assert sizes == [2, 2, 2]


def test_many_records_without_content_come_in_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_MOST_RECORDS", 100)
    data = values(0, *([b""] * 250), codec=4) + values(250, b"last")
    at, offsets, sizes = 0, [], []
    while at < 251:
        records = reading(data, at)
        (block,) = records
        offsets += block.offsets.tolist()
        at = records.next_fetch_offset
        sizes.append(len(block))
    assert offsets == list(range(251))
    assert sizes == [100, 100, 51]


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xff\xff\xff\x0f\0",  # says that it will be 4 GiB
        XERIAL + struct.pack(">i", -4) + b"xxxx",
        XERIAL + struct.pack(">i", 0),
        XERIAL + struct.pack(">i", 100) + b"x",
        XERIAL + b"\0",
        XERIAL,
        b"",
    ],
)
def test_snappy_that_lies_about_sizes_is_refused_or_empty(payload: bytes) -> None:
    tracemalloc.start()
    with contextlib.suppress(ValueError):
        assert decompression.unsnappy(payload) == b""
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_framed_snappy_and_gzip_in_several_members_are_read() -> None:
    text = bytes(range(256)) * 400
    assert decompression.unsnappy(codec.snappy_encode(text)) == text
    assert decompression.gunzip(gzip.compress(text) + gzip.compress(b"x") + b"\0\0") == text + b"x"
    with pytest.raises(ValueError, match="end of gzip"):
        decompression.gunzip(gzip.compress(text)[:-9])


@given(
    st.binary(max_size=200), st.sampled_from([b"", XERIAL, b"\x1f\x8b\x08", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd"])
)
def test_no_bytes_break_the_decompressors(payload: bytes, magic: bytes) -> None:
    for one in (decompression.gunzip, decompression.unsnappy, decompression.unlz4, decompression.unzstd):
        with contextlib.suppress(ValueError):
            one(magic + payload)


@given(st.integers(61, 100), st.integers(0, 255))
@settings(max_examples=300)
def test_no_bytes_of_records_break_the_reader(at: int, byte: int) -> None:
    raw = bytearray(batch(0, [(0, b"key", b"value", [("h", b"x")]), (1, None, None, [("i", None)])]))
    raw[at % len(raw)] = byte
    if at % len(raw) >= 61:
        block = fetched(sealed(bytes(raw)))
        assert block.end == 2
        assert len(block) in {1, 2}
