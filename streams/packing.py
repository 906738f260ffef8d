"""Record batches to be written, made by a compiled pass: no call per record.

Source: Apache Kafka's protocol guide, section "Record Batch", as `streams.batches` and `streams.unpacking` read it.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numba
import numpy as np

from schemas.clock import SystemClock
from streams.processor import OutputRecord
from streams.unpacking import write_headers, write_varint

_HEAD = struct.Struct(">qiibI")
"""Base offset, length, leader epoch, magic and CRC: what the CRC does not cover."""
_CHECKED = struct.Struct(">hiqqqhii")
"""Attributes, last offset delta, base and largest time stamp, producer's id and epoch, base sequence, number of
records."""
_MAGIC = 2
_TRANSACTIONAL = 0x10
_HEADER_BYTES = _HEAD.size + _CHECKED.size
_AFTER_LENGTH = _HEAD.size - 12 + _CHECKED.size

_MOST_OVERHEAD = 32
"""Bytes of a record that are neither key nor value nor headers: six lengths and deltas of at most 5, and a byte."""
_LARGE_BYTES = 4096
"""Values that are larger on average are not copied by the compiled pass."""
_TOGETHER = 512
"""Records that are looked at together: so many are still in the processor's cache when they are copied."""
_SEVEN_BITS, _MORE = 0x7F, 0x80


@dataclass(frozen=True, slots=True)
class Pieces:
    """A record batch as it is written: bytes, one piece after another. `streams.wire` joins them."""

    pieces: Sequence[Any]


class PackedBatch:
    """A record batch of a transaction, in the place of aiokafka's `BatchBuilder`.

    It leans on private names of aiokafka 0.14.0, which `tests/unit/test_private_names.py` pins.

    Args:
        pieces: Bytes of the records as they lie in a batch, one after another.
        count: How many records.
    """

    def __init__(self, pieces: Sequence[Any], count: int) -> None:
        self._pieces = pieces
        self._size = sum(map(len, pieces))
        self._count = count
        self._timestamp_ms = SystemClock().now_ns() // 1_000_000
        self._producer = -1, -1, 0

    def record_count(self) -> int:
        """Number of records."""
        return self._count

    def size(self) -> int:
        """Bytes."""
        return _HEADER_BYTES + self._size

    def closed(self) -> bool:
        """Whether no more records can come."""
        return True

    def close(self) -> None:
        """Nothing: no more records can come."""

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> "Pieces":
        now_ms, count = self._timestamp_ms, self._count
        checked = _CHECKED.pack(_TRANSACTIONAL, count - 1, now_ms, now_ms, *self._producer, count)
        checksum = google_crc32c.value(checked)
        for piece in self._pieces:
            checksum = google_crc32c.extend(checksum, piece)
        head = _HEAD.pack(0, _AFTER_LENGTH + self._size, -1, _MAGIC, checksum)
        return Pieces([head, checked, *self._pieces])


def packed(records: Sequence[OutputRecord], most_bytes: int) -> list[PackedBatch]:
    """Pack records into batches of at most so many bytes; the first record of a batch fits, whatever its size.

    Args:
        records: n key, value and headers.
        most_bytes: Of a batch.
    """
    packing = _Packing(most_bytes - _HEADER_BYTES)
    for start in range(0, len(records), _TOGETHER):
        packing.add(records[start : start + _TOGETHER])
    return packing.done()


class _Packing:
    """Batches that are being packed, the last one of which may take more."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = self._left = most_bytes
        self._batches: list[PackedBatch] = []
        self._pieces: list[Any] = []
        self._count = 0

    def done(self) -> list[PackedBatch]:
        """All of them."""
        if self._count:
            self._batches.append(PackedBatch(self._pieces, self._count))
            self._pieces, self._count, self._left = [], 0, self._most_bytes
        return self._batches

    def add(self, records: Sequence[OutputRecord]) -> None:
        """Pack some more."""
        keys, contents, headers = zip(*records, strict=True)
        sizes, counts = np.zeros((len(records), 3), np.int64), np.zeros(len(records), np.int64)
        sizes[:, 0], sizes[:, 1] = _sizes(keys), _sizes(contents)
        if sizes[:, 1].sum() > _LARGE_BYTES * len(records):
            for record in records:
                self._add_large(record)
            return
        heads: Sequence[bytes] = ()
        if any(headers):
            known = {some: write_headers(some) for some in set(headers)}
            heads = [known[some] for some in headers]
            sizes[:, 2], counts[:] = _sizes(heads), list(map(len, headers))
        ends = np.cumsum(np.maximum(sizes, 0).sum(axis=1) + _MOST_OVERHEAD)
        first = 0
        while first < len(records):
            begun = int(ends[first - 1]) if first else 0
            last = int(np.searchsorted(ends, begun + self._left, side="right"))
            if last <= first and self._count:
                self.done()
                continue
            last = max(last, first + 1)
            texts = (b"".join(filter(None, parts[first:last])) for parts in (keys, contents, heads))
            room = np.empty(int(ends[last - 1]) - begun, np.uint8)
            data = [np.frombuffer(text, np.uint8) for text in texts]
            used = _pack(*data, sizes[first:last], counts[first:last], self._count, room)
            self._pieces.append(room[:used])
            self._left -= used
            self._count += last - first
            first = last

    def _add_large(self, record: OutputRecord) -> None:
        """Pack a record without a copy of its value."""
        pieces = _pieces(record, self._count)
        if self._count and sum(map(len, pieces)) > self._left:
            self.done()
            pieces = _pieces(record, 0)
        self._pieces += pieces
        self._left -= sum(map(len, pieces))
        self._count += 1


def _pieces(record: OutputRecord, number: int) -> list[bytes]:
    """A record as it lies in a batch, of which it is the one with this number."""
    key, content, headers = record
    parts = [b"\0\0", write_varint(number)]
    for part in (key, content):
        parts += (write_varint(-1),) if part is None else (write_varint(len(part)), part)
    parts += (write_varint(len(headers)), write_headers(headers))
    return [write_varint(sum(map(len, parts))), *parts]


def _sizes(parts: Sequence[bytes | None]) -> list[int]:
    return [-1 if part is None else len(part) for part in parts]


def warm_up() -> None:
    """Compile, or load what was compiled before, where no event loop waits for it."""
    packed([(b"", b"", ())], 1)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _size_of(number: int) -> int:
    """Bytes that an integer takes, its sign included."""
    rest = (number << 1) ^ (number >> 63)
    size = 1
    while rest > _SEVEN_BITS:
        rest >>= 7
        size += 1
    return size


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _write(number: int, room: Any, out: int) -> int:  # noqa: ANN401
    """Write an integer; return the place after it."""
    rest = (number << 1) ^ (number >> 63)
    while rest > _SEVEN_BITS:
        room[out] = rest & _SEVEN_BITS | _MORE
        rest >>= 7
        out += 1
    room[out] = rest
    return out + 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copy(data: Any, at: int, size: int, room: Any, out: int) -> tuple[int, int]:  # noqa: ANN401
    """Copy a part, of size -1 for null; return the places after it."""
    if size <= 0:
        return at, out
    begin, end = np.uintp(at), np.uintp(out)
    for i in range(np.uintp(size)):
        room[end + i] = data[begin + i]
    return at + size, out + size


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _pack(keys: Any, contents: Any, heads: Any, sizes: Any, counts: Any, number: int, room: Any) -> int:  # noqa: ANN401
    """Write records, whose keys, values and headers lie one after another; return the bytes written.

    The first of them is the one with this number in its batch.
    """
    out = key_at = content_at = head_at = 0
    for r in range(sizes.shape[0]):
        key, content, head = sizes[r, 0], sizes[r, 1], sizes[r, 2]
        size = 2 + _size_of(number + r) + _size_of(key) + max(0, key) + _size_of(content) + max(0, content)
        out = _write(size + _size_of(counts[r]) + head, room, out)
        room[out] = 0  # attributes
        room[out + 1] = 0  # time stamp: the batch's
        out = _write(number + r, room, out + 2)
        out = _write(key, room, out)
        key_at, out = _copy(keys, key_at, key, room, out)
        out = _write(content, room, out)
        content_at, out = _copy(contents, content_at, content, room, out)
        out = _write(counts[r], room, out)
        head_at, out = _copy(heads, head_at, head, room, out)
    return out
